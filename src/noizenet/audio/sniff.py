"""Which container a file is, by its first bytes and never by its ending.

One table says what is read: a container's name, the FFmpeg demuxer that is forced for it, and its usual endings.
Demuxers that follow references to other files (HLS, DASH, concat, image sequences) are not in the table, so that no
content can reach them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from noizenet.audio.source import Section, Source
from noizenet.audio.sync import CHAIN, MAX_FRAME_BYTES, find_chain, is_free_format, next_chain, sync_at
from noizenet.base.errors import NoizenetError

HEAD_BYTES = CHAIN * MAX_FRAME_BYTES
"""Read to see what a file is: enough for frames that follow one another."""
RAW = frozenset({"mp3", "aac", "ac3", "eac3", "dts", "amr"})
"""Streams of frames without time stamps: how much is lost follows from the bytes."""
SYNCED = RAW - {"amr"}
"""Those of which :func:`~noizenet.audio.sync.sync_at` knows the frames."""
NOTHING_AFTER = SYNCED | {"wav", "rifx", "aiff", "flac", "ogg", "mp4", "tta", "wavpack", "au", "w64", "caf"}
"""Containers after whose last sound there is nothing but tags, tables and pictures."""
CHAINED = SYNCED | {"wav", "rifx", "flac", "ogg", "mp4", "wavpack", "matroska"}
"""Containers of which several in one file are read as one recording."""
NEAR_BYTES = 1 << 17
"""Within so many bytes of the end (a page of Ogg is among them) another recording begins."""
MIN_BYTES = 512
"""Fewer after the sound are not looked at."""
SEARCH_BYTES = 1 << 18
"""So many bytes of junk may precede the sound."""


@dataclass(frozen=True)
class Container:
    """A kind of file that holds sound.

    `demuxer` is FFmpeg's name, empty where only libsndfile reads the container; `endings` are what scanners take for
    it.
    """

    name: str
    demuxer: str
    endings: tuple[str, ...]


CONTAINERS: dict[str, Container] = {
    c.name: c
    for c in (
        Container("wav", "wav", (".wav", ".wave", ".rf64", ".bwf")),
        Container("rifx", "", ()),  # a big-endian wav, which FFmpeg decodes as a little-endian one: noise
        Container("w64", "w64", (".w64",)),
        Container("aiff", "aiff", (".aif", ".aiff", ".aifc", ".afc")),
        Container("au", "au", (".au", ".snd")),
        Container("caf", "caf", (".caf",)),
        Container("flac", "flac", (".flac",)),
        Container("ogg", "ogg", (".ogg", ".oga", ".opus", ".spx")),
        Container("mp3", "mp3", (".mp3", ".mp2", ".mp1", ".mpga")),
        Container("mp4", "mov", (".m4a", ".mp4", ".m4b", ".m4r", ".3gp", ".3ga")),
        Container("matroska", "matroska", (".mka", ".webm", ".weba")),
        Container("asf", "asf", (".wma", ".asf")),
        Container("aac", "aac", (".aac", ".adts")),
        Container("ac3", "ac3", (".ac3",)),
        Container("eac3", "eac3", (".eac3", ".ec3")),
        Container("dts", "dts", (".dts",)),
        Container("wavpack", "wv", (".wv",)),
        Container("tta", "tta", (".tta",)),
        Container("ape", "ape", (".ape",)),
        Container("musepack 7", "mpc", (".mpc",)),
        Container("musepack 8", "mpc8", (".mpc",)),
        Container("tak", "tak", (".tak",)),
        Container("shorten", "shn", (".shn",)),
        Container("dsf", "dsf", (".dsf",)),
        Container("amr", "amr", (".amr", ".awb")),
        Container("voc", "voc", (".voc",)),
        Container("qoa", "qoa", (".qoa",)),
        Container("sndfile", "", (".paf", ".svx", ".nist", ".sph", ".ircam", ".sf", ".avr", ".htk")),
    )
}
"""Every container that is read."""

AUDIO_SUFFIXES = frozenset(ending for c in CONTAINERS.values() for ending in c.endings)
"""Endings that scanners take for sound. Whether a file holds any is decided by its content."""

_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", "w64"),
    (b".snd", "au"),
    (b"dns.", "sndfile"),
    (b"caff", "caf"),
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "asf"),
    (b"wvpk", "wavpack"),
    (b"TTA1", "tta"),
    (b"MAC ", "ape"),
    (b"MP+", "musepack 7"),
    (b"MPCK", "musepack 8"),
    (b"tBaK", "tak"),
    (b"ajkg", "shorten"),
    (b"DSD ", "dsf"),
    (b"#!AMR", "amr"),
    (b"Creative Voice File\x1a", "voc"),
    (b"qoaf", "qoa"),
    (b" paf", "sndfile"),
    (b"fap ", "sndfile"),
    (b"NIST_1A", "sndfile"),
    (b"2BIT", "sndfile"),
)

READS_TAGS = frozenset({"mp3", "aac"})
"""Containers whose demuxers skip the tags at the front, and read them."""

_SEARCHED: tuple[tuple[bytes, int, str], ...] = (
    *(
        (magic, 0, name)
        for magic, name in _MAGICS
        if name in ("flac", "ogg", "w64", "matroska", "asf", "wavpack", "caf")
    ),
    (b"RIFF", 0, "wav"),
    (b"RF64", 0, "wav"),
    (b"RIFX", 0, "rifx"),
    (b"FORM", 0, "aiff"),
    (b"ftyp", 4, "mp4"),
    (b".snd\0\0\0", 0, "au"),
    (b"TTA1\1\0", 0, "tta"),
)
"""What is looked for after junk, and how many bytes before it the file begins."""

_PICTURES = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
"""Brands of pictures in the container of mp4."""

_OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"MThd", "MIDI: notes, and no sound"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)


_VIDEOS: tuple[tuple[bytes, str], ...] = (
    (b"FLV\x01", "a Flash film (FLV)"),
    (b".RMF", "a RealMedia file"),
    (b"\x00\x00\x01\xba", "an MPEG film (program stream)"),
)

UNREAD_SUFFIXES = frozenset({
    ".thd", ".truehd", ".mlp", ".gsm", ".latm", ".loas", ".dff", ".ra", ".aa", ".aax", ".oma", ".at3", ".aa3", ".adx",
    ".g722",
})  # fmt: skip
"""Endings of sound that is not read: its first bytes do not tell it, or no decoder is asked for it."""

ADVICE = "convert it to wav, flac, ogg or mp3"
VIDEO_ADVICE = "films of this kind are not read; take its sound out first, for instance: ffmpeg -i FILM -vn SOUND.flac"


class Found(NamedTuple):
    """What a file is, its first byte, and how many bytes of junk stand before it."""

    container: Container
    start: int
    junk: int = 0


def sniff(source: Source) -> Found | None:
    """Find what a file is, and where its sound begins.

    Parameters
    ----------
    source : Source
        The open file.

    Returns
    -------
    Found or None
        The container and the offset of its first byte: 0, the byte after tags of formats that have none there, or
        the byte after junk. None where there is no sound that is known.
    """
    at = after_tags(source)
    head = source.peek(at, HEAD_BYTES)
    name = _by_magic(head)
    if name is not None:
        return Found(CONTAINERS[name], 0 if name in READS_TAGS else at)
    if _is_text(head) or describe(head):
        return None
    return _search(source, at)


def find_following(source: Source | Section, container: str, end: int, *, sure: bool = False) -> Found | None:
    """Find a recording of another kind that begins where one has ended: files of two kinds, joined.

    Parameters
    ----------
    source : Source or Section
    container : str
        What has ended.
    end : int
        The byte after its last sound, as the last packet tells it: not for films, where packets lie in groups.
    sure : bool
        Whether the container itself says that it ends there.

    Returns
    -------
    Found or None
    """
    if not (sure or container in NOTHING_AFTER) or end <= 0 or source.size - end < MIN_BYTES:
        return None
    found = _search(source, end - 1, headless_flac=False)
    if found is None or found.start - end > NEAR_BYTES or (found.container.name == container and container in CHAINED):
        return None
    return found


def find_next_file(source: Source, container: str, start: int) -> int | None:
    """Find where, in a stream of frames without a header, a file of another kind begins: files of two kinds, joined.

    It is searched for where a frame no longer follows the one before. Where the stream itself goes on, that was damage.

    Parameters
    ----------
    source : Source
    container : str
        The stream's; one of :data:`RAW`.
    start : int
        The byte to begin with.

    Returns
    -------
    int or None
    """
    at = start
    while source.size - (at := _end_of_frames(source, container, at)) >= MIN_BYTES:
        found = _search(source, at - 1, headless_flac=False) if at else None
        if found is None:
            return None
        if found.container.name != container:
            return found.start
        at = found.start
    return None


def _end_of_frames(source: Source, container: str, start: int) -> int:
    """Follow a container's frames, and tags between them, as their headers say; return where none follows."""
    at, data, base = start, b"", start
    while True:
        if not base <= at <= base + len(data) - 64:
            base, data = at, source.peek(at, 1 << 20)
        sync = sync_at(data, at - base)
        if sync is not None and sync.container == container:
            size = sync.size
        else:
            size = tag_size(data[at - base : at - base + 32])
        if not size:
            return at
        at += size


def has_audio_header(path: Path) -> bool:
    """Tell whether a file's first bytes are those of a container that is read; False where it cannot be opened."""
    try:
        with Source(path) as source:
            head = source.peek(0, HEAD_BYTES)
            picture = head[4:8] == b"ftyp" and head[8:12] in _PICTURES
            return not picture and _by_magic(source.peek(after_tags(source), HEAD_BYTES)) is not None
    except (NoizenetError, OSError):
        return False


def describe(head: bytes) -> str:
    """Say what a file that is no sound is, as far as its first bytes tell; empty where they do not."""
    for magic, text in _OTHER_KINDS:
        if head.startswith(magic):
            return text
    if video := unsupported_video(head):
        return video
    if is_free_format(head):
        return "an mp3 of free format, whose frames do not say how long they are"
    if _is_text(head):
        return "text (a playlist, a document or a page), and no sound"
    if head and not head.strip(b"\0"):
        return "nothing but zeros"
    return ""


def unsupported_video(head: bytes) -> str:
    r"""Say what kind of film that is not read a file is, by its first bytes; empty where it is none.

    Films in the containers of the table (mp4, Matroska, ASF, Ogg) are read for their sound.

    Examples
    --------
    >>> unsupported_video(b"RIFF\x00\x00\x00\x00AVI LIST"), unsupported_video(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    ('an AVI film', '')
    """
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "an AVI film"
    for first, step in ((0, 188), (4, 192)):  # packets of a fixed size; ISO/IEC 13818-1, section 2.4.3.2
        places = range(first, first + 5 * step, step)
        if len(head) > places[-1] and all(head[i] == 0x47 for i in places):
            return "an MPEG film (transport stream)"
    return next((text for magic, text in _VIDEOS if head.startswith(magic)), "")


def unsupported_video_in(path: Path) -> str:
    """Return :func:`unsupported_video` a file's first bytes; empty where it cannot be opened."""
    try:
        with Source(path) as source:
            return unsupported_video(source.peek(0, HEAD_BYTES))
    except (NoizenetError, OSError):
        return ""


def _by_magic(head: bytes) -> str | None:
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    for test, name in _TESTS:
        if test(head):
            return name
    found = sync_at(head, 0)
    return found.container if found and find_chain(head, 0, found) else None


def _is_wav(head: bytes) -> bool:
    return head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def _is_rifx(head: bytes) -> bool:
    return head[:4] in (b"RIFX", b"FFIR") and head[8:12] == b"WAVE"


def _is_aiff(head: bytes) -> bool:
    return head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")


def _is_svx(head: bytes) -> bool:
    return head[:4] == b"FORM" and head[8:12] in (b"8SVX", b"16SV")


def _is_ircam(head: bytes) -> bool:
    little, big = head[:4], head[3::-1]
    return any(h[:2] == b"\x64\xa3" and 1 <= h[2] <= 4 and h[3] == 0 for h in (little, big) if len(h) == 4)


def _is_mp4(head: bytes) -> bool:
    if len(head) < 8 or head[4:8] not in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot"):
        return False
    size = int.from_bytes(head[:4], "big")
    return size in (0, 1) or size >= 8


_TESTS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_is_wav, "wav"),
    (_is_rifx, "rifx"),
    (_is_aiff, "aiff"),
    (_is_svx, "sndfile"),
    (_is_ircam, "sndfile"),
    (_is_mp4, "mp4"),
)


def after_tags(source: Source) -> int:
    """Return the offset after any ID3v2 tags and APEv2 tags at the front."""
    at = 0
    while True:
        head = source.peek(at, 32)
        size = tag_size(head)
        if not size or at + size >= source.size:
            return at
        at += size


def tag_size(head: bytes) -> int:
    """Return how many bytes the tag that begins here takes (ID3v2, APEv2 with header, ID3v1), 0 for no tag.

    Sources: https://id3.org/id3v2.4.0-structure, https://wiki.hydrogenaud.io/index.php?title=APEv2_specification.
    """
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128 and head[3] < 255:
        size = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:8] == b"APETAGEX" and len(head) >= 24:
        is_header = bool(head[23] & 0x20)
        return int.from_bytes(head[12:16], "little") + 32 if is_header else 32
    if head[:3] == b"TAG":
        return 128
    return 0


def _is_text(head: bytes) -> bool:
    """Whether a file begins as text does: no control characters but white space, in the first kilobyte."""
    part = head[:1024].removeprefix(b"\xef\xbb\xbf")
    if part[:2] in (b"\xff\xfe", b"\xfe\xff"):
        part = part[2:].replace(b"\0", b"")
    if len(part) < 4:
        return False
    control = sum(1 for b in part if b < 32 and b not in b"\t\n\r\f\x1b") + part.count(0x7F)
    high = sum(1 for b in part if b >= 128)
    try:
        part[:-3].decode("utf-8")
        high = 0
    except UnicodeDecodeError:
        pass
    return control == 0 and high < 0.3 * len(part)


def _search(source: Source | Section, start: int, *, headless_flac: bool = True) -> Found | None:
    """Look for the first sound after junk: the front of a format that has one, or a chain of frames."""
    data = source.peek(start, SEARCH_BYTES)
    found: list[tuple[int, str]] = []
    for magic, before, name in _SEARCHED:
        at = data.find(magic) - before
        if at > 0 and _by_magic(data[at : at + HEAD_BYTES]) == name:
            found.append((at, name))
    stop = min(found)[0] if found else len(data)
    chain = next_chain(data, 1, stop)
    while chain is not None and chain[1].container == "flac" and not headless_flac:  # of FLAC in Ogg, say
        chain = next_chain(data, chain[0] + 1, stop)
    if chain is not None:
        at, name = chain[0], chain[1].container
        tag = data.rfind(b"ID3", 1, at) if name in READS_TAGS else -1
        found.append((tag if tag > 0 and tag + tag_size(data[tag : tag + 32]) == at else at, name))
    if not found:
        return None
    at, name = min(found)
    return Found(CONTAINERS[name], start + at, at)
