"""A container's structure, parsed without decoding: joined recordings, truncation, the declared length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from noizenet.audio import structure_chunks, structure_frames, structure_voc
from noizenet.audio.issue import lost
from noizenet.audio.link import MAX_CHUNKS, MAX_LINKS, Link, Structure
from noizenet.audio.sniff import SYNCED, Container, find_following, find_next_file
from noizenet.audio.source import Source


def examine(source: Source, kind: Container, start: int) -> Structure:
    """Parse a container's structure.

    Parameters
    ----------
    source : Source
    kind : Container
    start : int
        Its first byte; not 0 if tags or junk precede it.
    """
    parse = _PARSERS.get(kind.name, _unknown)
    structure = parse(source, start)
    last = structure.links[-1] if structure.links else None
    if kind.name in SYNCED and last and last.stop == source.size:
        other = find_next_file(source, kind.name, last.start)
        structure.links[-1] = replace(last, stop=other or source.size)
    return structure


def _unknown(source: Source, start: int) -> Structure:
    return Structure([Link(start, source.size)], length_from_decoder=True)


def _frames_only(source: Source, start: int) -> Structure:
    """Streams of frames without any header: ADTS, AC-3, DTS, AMR, Shorten."""
    return Structure([Link(start, source.size)])


def _flac(source: Source, start: int) -> Structure:
    """Read STREAMINFO's sample count, 0 for unknown; RFC 9639, section 8.2."""
    fronts = [start, *_find_all(source, b"fLaC\0\0\0\x22", start + 8)]  # joined files have several
    ends = [*fronts[1:], source.size]
    structure = Structure([Link(a, b) for a, b in zip(fronts, ends, strict=True)], checked_end=True)
    total_s = 0.0
    for at in fronts:
        head = source.peek(at, 42)
        rate = int.from_bytes(head[18:21], "big") >> 4
        total = int.from_bytes(head[21:26], "big") & ((1 << 36) - 1)
        if head[:4] != b"fLaC":
            structure.issues.append(lost("its beginning is missing, including its header"))
            return structure
        if not (rate and total):
            return structure
        total_s += total / rate
    structure.seconds = total_s
    return structure


def _find_all(source: Source, pattern: bytes, at: int) -> Iterator[int]:
    while at < source.size:
        data = source.peek(at, 1 << 22)
        here = -1
        while (here := data.find(pattern, here + 1)) >= 0:
            yield at + here
        at += max(1, len(data) - len(pattern) + 1)


def _au(source: Source, start: int) -> Structure:
    head = source.peek(start, 24)
    offset, size, encoding, rate, channels = (int.from_bytes(head[i : i + 4], "big") for i in (4, 8, 12, 16, 20))
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 0)
    structure = Structure([Link(start, source.size)], cut=False)
    if size not in (0, 0xFFFFFFFF) and width and rate and channels:
        structure.seconds = size / (width * channels * rate)
        structure.cut = start + offset + size > source.size
        if find_following(source, "au", start + offset + size) is not None:
            structure.links = [Link(start, start + offset + size)]
    return structure


def _wavpack(source: Source, start: int) -> Structure:
    """Walk the blocks, each with its size and position; https://www.wavpack.com/WavPack5FileFormat.pdf.

    FFmpeg's demuxer stops at the first invalid block, so the part after damage is a separate link.
    """
    structure = Structure([], cut=False, length_from_decoder=True)
    at = begin = start
    resumes: float | None = None
    while at + 32 <= source.size:
        head = source.peek(at, 32)
        size = 8 + int.from_bytes(head[4:8], "little")
        if head[:4] == b"wvpk" and 24 <= size <= 1 << 24:
            at += size
            continue
        following = next(iter(_find_all(source, b"wvpk", at + 1)), None)
        if following is None or len(structure.links) > MAX_LINKS:
            break
        structure.links.append(Link(begin, at, resumes_s=resumes))
        head = source.peek(following, 32)
        rate = _WAVPACK_HZ[int.from_bytes(head[24:28], "little") >> 23 & 15]
        resumes = (int.from_bytes(head[16:20], "little") + (head[10] << 32)) / rate if rate else None
        at = begin = following
    structure.links.append(Link(begin, source.size, resumes_s=resumes))
    structure.cut = at > source.size
    return structure


_WAVPACK_HZ = (
    *(6000, 8000, 9600, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 192000), 0,
)  # fmt: skip


_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def _asf(source: Source, start: int) -> Structure:
    """Read the file properties object; Advanced Systems Format specification, section 3.2."""
    head = source.peek(start, 1 << 16)
    at = head.find(_ASF_FILE)
    structure = Structure([Link(start, source.size)], length_from_decoder=True)
    if at < 0 or len(head) < at + 104:
        return structure
    size, _, _, play, _ = (int.from_bytes(head[at + i : at + i + 8], "little") for i in (40, 48, 56, 64, 72))
    preroll, flags = (
        int.from_bytes(head[at + 80 : at + 88], "little"),
        int.from_bytes(head[at + 88 : at + 92], "little"),
    )
    if flags & 1:  # broadcast: the sizes are not valid
        structure.length_from_decoder = False
        return structure
    structure.length_from_decoder = False
    structure.seconds = max(0.0, play / 1e7 - preroll / 1e3) or None
    structure.cut = size > source.size - start
    if find_following(source, "asf", start + size, sure=True) is not None:
        structure.links = [Link(start, start + size)]
    return structure


def _mp4(source: Source, start: int) -> Structure:
    """Walk the boxes; ISO/IEC 14496-12, section 4.2."""
    links, at, begin, names = [], start, start, set[bytes]()
    cut, encrypted = False, list[bool]()
    for _ in range(MAX_CHUNKS):
        head = source.peek(at, 16)
        if len(head) < 8:
            cut = bool(head.strip(b"\0"))
            break
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:16], "big")
        elif size == 0:
            size = source.size - at
        if size < 8 or not name.isalnum():  # junk after the last box
            break
        if name == b"ftyp" and {b"moov", b"mdat"} <= names:
            links.append(Link(begin, at))
            begin, names = at, set()
        names.add(name)
        if name == b"moov":
            encrypted += _encrypted_tracks(source, at + 8, at + size)
        at += size
        if at > source.size:
            cut = True
            break
    links.append(Link(begin, source.size))
    structure = Structure(links, cut=cut, length_from_decoder=len(links) == 1)
    if len(links) == 1 and b"moov" not in names:
        why = "the file was cut off" if cut else "its recording was not finished"
        structure.problem = (
            f"not a readable recording (its table of contents, moov, is missing: {why}; "
            "it cannot be decoded without that table)"
        )
    if encrypted and all(encrypted):
        structure.problem = (
            "not a readable recording (its audio is encrypted; only programs with its key can play it); "
            "get a copy without encryption"
        )
    return structure


_TRACK_BOXES = frozenset({b"trak", b"mdia", b"minf", b"stbl"})
_ENCRYPTED = (b"enca", b"drms", b"aavd")
"""Names of encrypted audio: Common Encryption (ISO/IEC 23001-7), iTunes, Audible."""


def _encrypted_tracks(source: Source, at: int, stop: int, *, sound: bool = False, depth: int = 0) -> list[bool]:
    """Return for each audio track in a box whether it is encrypted; ISO/IEC 14496-12, sections 8.4.3, 8.5.2."""
    found: list[bool] = []
    for _ in range(MAX_CHUNKS):
        head = source.peek(at, 24)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if at + 8 > stop or size < 8:
            break
        if name == b"hdlr":
            sound = head[16:20] == b"soun"
        elif name in _TRACK_BOXES and depth < len(_TRACK_BOXES):
            found += _encrypted_tracks(source, at + 8, min(stop, at + size), sound=sound, depth=depth + 1)
        elif name == b"stsd" and sound:
            found.append(head[20:24] in _ENCRYPTED)
        at += size
    return found


SEGMENT_PARTS = frozenset({
    0x1F43B675, 0x1C53BB6B, 0x114D9B74, 0x1254C367, 0x1941A469, 0x1043A770, 0x1549A966, 0x1654AE6B, 0xEC, 0xBF,
})  # fmt: skip
"""Elements of a Matroska segment: cluster, cues, seek head, tags, attachments, chapters, info, tracks, padding, CRC."""


def _matroska(source: Source, start: int) -> Structure:
    """Read the EBML header and the segment; RFC 8794 and RFC 9559."""
    structure = Structure([Link(start, source.size)], length_from_decoder=True)
    at = start
    _, header, used = element(source.peek(at, 12))
    if header is None:
        return structure
    at += used + header
    ident, size, used = element(source.peek(at, 12))
    if ident != 0x18538067:
        return structure
    if size is not None:
        end = at + used + size
        structure.cut = end > source.size
        if end + 64 < source.size and source.peek(end, 4) == b"\x1a\x45\xdf\xa3":
            rest = _matroska(source, end)
            structure.links = [Link(start, end), *rest.links]
            structure.cut, structure.length_from_decoder = rest.cut, False
        elif find_following(source, "matroska", end, sure=True) is not None:
            structure.links = [Link(start, end)]
        return structure
    at += used
    for _ in range(MAX_CHUNKS):  # a live recording: the segment's size is unknown, its clusters may have sizes
        ident, size, used = element(source.peek(at, 12))
        if ident not in SEGMENT_PARTS or size is None:
            return structure
        at += used + size
        if at >= source.size:
            structure.cut = at > source.size
            return structure
    return structure


def element(head: bytes) -> tuple[int, int | None, int]:
    """Return an EBML element's id, size (None: unknown) and the size of its header; (0, None, 0) for no element."""
    if not head or not head[0]:
        return 0, None, 0
    width = 9 - head[0].bit_length()
    if width > 4 or len(head) <= width or not head[width]:
        return 0, None, 0
    ident = int.from_bytes(head[:width], "big")
    more = 9 - head[width].bit_length()
    if len(head) < width + more:
        return 0, None, 0
    size = int.from_bytes(head[width : width + more], "big") & ((1 << (7 * more)) - 1)
    return ident, None if size == (1 << (7 * more)) - 1 else size, width + more


_PARSERS: dict[str, Callable[[Source, int], Structure]] = {
    "flac": _flac,
    "au": _au,
    "wavpack": _wavpack,
    "asf": _asf,
    "mp4": _mp4,
    "matroska": _matroska,
    **dict.fromkeys(("aac", "ac3", "eac3", "dts", "amr", "shorten"), _frames_only),
    **dict.fromkeys(("wav", "rifx"), structure_chunks.riff),
    "w64": structure_chunks.w64,
    "aiff": structure_chunks.aiff,
    "caf": structure_chunks.caf,
    "mp3": structure_frames.mp3,
    "ogg": structure_frames.ogg,
    "voc": structure_voc.voc,
}
