"""Format detection: a file's container, from its first bytes and never from its suffix.

One table lists the supported containers: name, the FFmpeg demuxer that is forced, and usual suffixes. Demuxers that
follow references to other files (HLS, DASH, concat, image sequences) are not in the table, so no content can select
them.
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
"""Bytes read for detection: enough for a chain of frames."""
RAW = frozenset({"mp3", "aac", "ac3", "eac3", "dts", "amr"})
"""Streams of frames without time stamps: the lost duration is estimated from the lost bytes."""
SYNCED = RAW - {"amr"}
"""Streams whose frames :func:`~noizenet.audio.sync.sync_at` can parse."""
NOTHING_AFTER = SYNCED | {"wav", "rifx", "aiff", "flac", "ogg", "mp4", "tta", "wavpack", "au", "w64", "caf"}
"""Containers in which only tags, tables and pictures follow the audio."""
CHAINED = SYNCED | {"wav", "rifx", "flac", "ogg", "mp4", "wavpack", "matroska"}
"""Containers that are read as one recording if several are joined in one file."""
NEAR_BYTES = 1 << 17
"""A following recording must begin within this number of bytes after the end (an Ogg page fits)."""
MIN_BYTES = 512
"""Fewer bytes after the audio are ignored."""
SEARCH_BYTES = 1 << 18
"""Maximum bytes of junk before the audio."""


@dataclass(frozen=True)
class Container:
    """An audio container format.

    `demuxer` is FFmpeg's name of its demuxer, empty if only libsndfile reads the container. `suffixes` are those that
    folder scans accept.
    """

    name: str
    demuxer: str
    suffixes: tuple[str, ...]


CONTAINERS: dict[str, Container] = {
    c.name: c
    for c in (
        Container("wav", "wav", (".wav", ".wave", ".rf64", ".bwf")),
        Container("rifx", "", ()),  # a big-endian wav; FFmpeg would decode it as little-endian, which gives noise
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
"""All supported containers."""

AUDIO_SUFFIXES = frozenset(suffix for c in CONTAINERS.values() for suffix in c.suffixes)
"""Suffixes that folder scans accept. The content decides whether a file is audio."""

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
"""Containers whose demuxers parse the tags at the start of a file."""

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
"""Patterns searched for after junk, and the number of bytes between the start of the file and the pattern."""

_PICTURES = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
"""Brands of image formats in an mp4 container."""

_OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"MThd", "MIDI: notes, not audio"),
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
    (b"FLV\x01", "a Flash video (FLV)"),
    (b".RMF", "a RealMedia file"),
    (b"\x00\x00\x01\xba", "an MPEG video (program stream)"),
)

UNREAD_SUFFIXES = frozenset({
    ".thd", ".truehd", ".mlp", ".gsm", ".latm", ".loas", ".dff", ".ra", ".aa", ".aax", ".oma", ".at3", ".aa3", ".adx",
    ".g722",
})  # fmt: skip
"""Suffixes of unsupported audio formats: their first bytes are not distinctive, or no decoder is enabled."""

ADVICE = "convert it to wav, flac, ogg or mp3"
VIDEO_ADVICE = "this video format is not supported; extract its audio first: ffmpeg -i VIDEO -vn AUDIO.flac"


class Found(NamedTuple):
    """A detected container, its first byte, and the number of bytes of junk before it."""

    container: Container
    start: int
    junk: int = 0


def sniff(source: Source) -> Found | None:
    """Detect a file's container and where it begins.

    Parameters
    ----------
    source : Source
        The open file.

    Returns
    -------
    Found or None
        The container and the offset of its first byte: 0, the byte after tags (in formats that have no tags there), or
        the byte after junk. None if no known format is found.
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
    """Find a recording of another format that begins after the end of one: joined files of two formats.

    Parameters
    ----------
    source : Source or Section
    container : str
        Format of the first recording.
    end : int
        The byte after its last packet. Not for video, where packets are interleaved.
    sure : bool
        Whether the container itself declares this end.

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
    """Find where a file of another format begins in a stream of frames without a header: joined files of two formats.

    The search starts where the chain of frames breaks. If the stream continues later, the break was damage.

    Parameters
    ----------
    source : Source
    container : str
        Format of the stream; one of :data:`RAW`.
    start : int
        First byte.

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
    """Follow a chain of frames, and tags between them; return the offset where the chain ends."""
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
    """Return whether a file's first bytes are those of a supported container; False if it cannot be opened."""
    try:
        with Source(path) as source:
            head = source.peek(0, HEAD_BYTES)
            picture = head[4:8] == b"ftyp" and head[8:12] in _PICTURES
            return not picture and _by_magic(source.peek(after_tags(source), HEAD_BYTES)) is not None
    except (NoizenetError, OSError):
        return False


def describe(head: bytes) -> str:
    """Return a description of a file that is not audio, from its first bytes; empty if they are not known."""
    for magic, text in _OTHER_KINDS:
        if head.startswith(magic):
            return text
    if video := unsupported_video(head):
        return video
    if is_free_format(head):
        return "an mp3 of free format, whose frames do not declare their length"
    if _is_text(head):
        return "text (a playlist, a document or a page), not audio"
    if head and not head.strip(b"\0"):
        return "only zeros"
    return ""


def unsupported_video(head: bytes) -> str:
    r"""Return the name of an unsupported video format, from a file's first bytes; empty for anything else.

    Of videos in the supported containers (mp4, Matroska, ASF, Ogg) the audio is read.

    Examples
    --------
    >>> unsupported_video(b"RIFF\x00\x00\x00\x00AVI LIST"), unsupported_video(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    ('an AVI video', '')
    """
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "an AVI video"
    for first, step in ((0, 188), (4, 192)):  # packets of a fixed size; ISO/IEC 13818-1, section 2.4.3.2
        offsets = range(first, first + 5 * step, step)
        if len(head) > offsets[-1] and all(head[i] == 0x47 for i in offsets):
            return "an MPEG video (transport stream)"
    return next((text for magic, text in _VIDEOS if head.startswith(magic)), "")


def unsupported_video_in(path: Path) -> str:
    """Return :func:`unsupported_video` of a file; empty if it cannot be opened."""
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
    """Return the offset after any ID3v2 and APEv2 tags at the start."""
    at = 0
    while True:
        head = source.peek(at, 32)
        size = tag_size(head)
        if not size or at + size >= source.size:
            return at
        at += size


def tag_size(head: bytes) -> int:
    """Return the size in bytes of the tag that begins here (ID3v2, APEv2 with header, ID3v1); 0 for no tag.

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
    """Whether the first kilobyte is text: no control characters except white space."""
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
    """Find the first audio after junk: the magic bytes of a format, or a chain of frames."""
    data = source.peek(start, SEARCH_BYTES)
    found: list[tuple[int, str]] = []
    for magic, before, name in _SEARCHED:
        at = data.find(magic) - before
        if at > 0 and _by_magic(data[at : at + HEAD_BYTES]) == name:
            found.append((at, name))
    stop = min(found)[0] if found else len(data)
    chain = next_chain(data, 1, stop)
    while chain is not None and chain[1].container == "flac" and not headless_flac:  # for instance FLAC in Ogg
        chain = next_chain(data, chain[0] + 1, stop)
    if chain is not None:
        at, name = chain[0], chain[1].container
        tag = data.rfind(b"ID3", 1, at) if name in READS_TAGS else -1
        found.append((tag if tag > 0 and tag + tag_size(data[tag : tag + 32]) == at else at, name))
    if not found:
        return None
    at, name = min(found)
    return Found(CONTAINERS[name], start + at, at)
