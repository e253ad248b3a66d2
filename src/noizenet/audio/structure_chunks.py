"""Chunk-based files: wav and its variants, AIFF, CAF. Declared sizes are compared with the bytes of the file."""

from __future__ import annotations

from typing import NamedTuple

from noizenet.audio.issue import lost, repaired
from noizenet.audio.link import MAX_CHUNKS, MAX_LINKS, Link, RawFormat, Structure, continuation
from noizenet.audio.sniff import ADVICE, find_following
from noizenet.audio.source import Source

STREAMING_SIZES = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Sizes that programs write while the length is unknown, up to the size of a header."""
PLAIN = (1, 3, 6, 7, 0xFFFE)
"""Codes of formats with a constant number of bytes per sample."""
HEADER_SLACK = 1 << 16


class _Chunk(NamedTuple):
    name: bytes
    start: int  # of its content
    size: int


def riff(source: Source, start: int) -> Structure:
    """Parse a wav file (RIFF, RF64, BW64, RIFX), or several joined ones.

    Source: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE.
    """
    head = source.peek(start, 12)
    order = "big" if head[:4] in (b"RIFX", b"FFIR") else "little"
    riff_size = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
    structure = Structure([Link(start, source.size)], cut=False)
    if head[:4] == b"FFIR":
        structure.problem = f"not a readable recording (a wav of the rare variant FFIR); {ADVICE}"
        return structure
    fmt, long_size, counted = b"", None, 0
    at, chunk = start + 12, _read_chunk(source, start + 12, order)
    for _ in range(MAX_CHUNKS):
        if chunk is None or chunk.name == b"data":
            break
        if chunk.name == b"fmt ":
            fmt = source.peek(chunk.start, min(chunk.size, 40))
        elif chunk.name == b"fact":
            counted = int.from_bytes(source.peek(chunk.start, 4), order)  # type: ignore[arg-type]
        elif chunk.name == b"ds64":
            long_size = int.from_bytes(source.peek(chunk.start + 8, 8), "little")
        elif chunk.name == b"LIST" and source.peek(chunk.start, 4) == b"wavl":
            structure.problem = (
                f"not a readable recording (a wav whose audio is a list of segments and pauses, wavl); {ADVICE}"
            )
            return structure
        at = chunk.start + chunk.size + chunk.size % 2
        chunk = _read_chunk(source, at, order)
    if chunk is None or chunk.name != b"data":
        structure.problem = "holds no sound (it ends before the audio begins)"
        return structure
    size = chunk.size if long_size is None or chunk.size != 0xFFFFFFFF else long_size
    per_second = _bytes_per_second(fmt, order)
    code, rate = (int.from_bytes(fmt[i : i + n], order) for i, n in ((0, 2), (4, 4)))  # type: ignore[arg-type]
    if code not in PLAIN and rate and 0 < counted < 0x7FFFFFFF:
        # A compressed wav counts its samples in its fact chunk; its bytes per second are often wrong.
        per_second = size * rate / counted
    raw = _raw(fmt, order)
    data = _Chunk(b"data", chunk.start, size)
    _check_data_size(structure, source, data, per_second, order, raw)
    if order == "big" and raw is not None and (fmt[:2] == b"\xff\xfe" or not size):
        # libsndfile does not support extensible big-endian wav, and decodes nothing if the length is 0.
        stop = data.start + (size if 0 < size <= source.size - data.start else source.size - data.start)
        structure.links[0] = Link(data.start, stop, raw=raw)
    whole = abs(start + 8 + riff_size - source.size) <= 8
    if structure.cut and whole:
        structure.cut = False  # the outer size is correct: only the inner one is wrong
    return structure


def _check_data_size(
    structure: Structure, source: Source, data: _Chunk, per_second: float, order: str, raw: RawFormat | None
) -> None:
    """Compare a data chunk's size with the bytes that follow."""
    there = source.size - data.start
    if data.size == 0:
        if there <= 0 or _are_chunks(source, data.start, order):
            structure.problem = "holds no sound (zero length)"
        else:
            structure.issues.append(repaired("the header's length is 0; everything after it was decoded"))
        return
    if data.size > there and any(abs(data.size - s) <= HEADER_SLACK for s in STREAMING_SIZES):
        return
    structure.seconds = data.size / per_second if per_second else None
    structure.cut = data.size > there
    rest = data.start + data.size + data.size % 2
    if rest >= source.size:
        return
    joined = _next_riff(source, rest, order)
    if joined is not None:
        first = structure.links[0].start
        following = riff(source, joined)
        if not following.problem:
            structure.links = [Link(first, joined), *following.links]
            structure.cut = following.cut
            known = structure.seconds is not None and following.seconds is not None
            structure.seconds = structure.seconds + following.seconds if known else None  # type: ignore[operator]
            structure.options = following.options
        return
    if more := _more_data(source, rest, order):
        _join_data_chunks(structure, source, [data, *more], per_second, raw)
        return
    kind = "wav" if order == "little" else "rifx"
    if find_following(source, kind, rest) is not None:
        if order == "big":  # only FFmpeg's decoder searches for a following recording
            structure.links = [Link(structure.links[0].start, rest)]
        return
    if per_second and source.size - rest > 0.1 * per_second and not _are_chunks(source, rest, order):
        structure.options["ignore_length"] = "1"


def _next_riff(source: Source, at: int, order: str) -> int | None:
    """Return the offset of another wav of the same byte order after the audio; None if there is none."""
    fronts = (b"RIFF", b"RF64", b"BW64") if order == "little" else (b"RIFX",)
    for _ in range(1000):
        if source.peek(at, 4) in fronts and source.peek(at + 8, 4) == b"WAVE":
            return at
        chunk = _read_chunk(source, at, order)
        if chunk is None or not _plausible(source, chunk):
            return None
        at = chunk.start + chunk.size + chunk.size % 2
    return None


def _more_data(source: Source, at: int, order: str) -> list[_Chunk]:
    """Return further data chunks from here on; the last may be truncated."""
    found: list[_Chunk] = []
    while len(found) < MAX_LINKS and (chunk := _read_chunk(source, at, order)) is not None:
        if chunk.name == b"data" and chunk.size:
            found.append(chunk)
        elif not _plausible(source, chunk):
            break
        at = chunk.start + chunk.size + chunk.size % 2
    return found


def _join_data_chunks(
    structure: Structure, source: Source, chunks: list[_Chunk], per_second: float, raw: RawFormat | None
) -> None:
    """Join several data chunks to one recording if the later ones can be decoded without a header."""
    size = sum(p.size for p in chunks[1:])
    if raw is None or not per_second:
        long = f", {size / per_second:.1f} s" if per_second else ""
        structure.issues.append(
            lost(f"its audio is in {len(chunks)} data chunks; only the first is read ({size:,} bytes{long} lost)")
        )
        structure.links = [Link(structure.links[0].start, chunks[0].start + chunks[0].size)]
        return
    first = Link(structure.links[0].start, chunks[0].start + chunks[0].size)
    more = [continuation(p.start, min(p.start + p.size, source.size), raw) for p in chunks[1:]]
    structure.links = [first, *more]
    structure.seconds = (structure.seconds or 0.0) + size / per_second
    structure.cut = chunks[-1].start + chunks[-1].size > source.size
    structure.issues.append(repaired(f"its audio is in {len(chunks)} data chunks; all were read as one"))


def _are_chunks(source: Source, at: int, order: str) -> bool:
    """Whether the bytes from here to the end are chunks (tags, cue points) or padding."""
    for _ in range(1000):
        if source.size - at < 8:
            return True
        chunk = _read_chunk(source, at, order)
        if chunk is None or not _plausible(source, chunk):
            rest = source.peek(at, 4096)
            return not rest.strip(b"\0") or rest[:3] in (b"TAG", b"ID3") or rest[:8] == b"APETAGEX"
        at = chunk.start + chunk.size + chunk.size % 2
    return True


def _plausible(source: Source, chunk: _Chunk) -> bool:
    named = len(chunk.name) == 4 and all(32 <= b < 127 for b in chunk.name)
    return named and chunk.start + chunk.size <= source.size + 1


def _read_chunk(source: Source, at: int, order: str) -> _Chunk | None:
    head = source.peek(at, 8)
    if len(head) < 8:
        return None
    return _Chunk(head[:4], at + 8, int.from_bytes(head[4:8], order))  # type: ignore[arg-type]


def _bytes_per_second(fmt: bytes, order: str) -> float:
    """Return a fmt chunk's bytes per second; for PCM from rate and width, since the field itself is often wrong."""
    if len(fmt) < 16:
        return 0.0

    def number(at: int, count: int) -> int:
        return int.from_bytes(fmt[at : at + count], order)  # type: ignore[arg-type]

    code, channels, rate, average, align, bits = (
        number(0, 2), number(2, 2), number(4, 4), number(8, 4), number(12, 2), number(14, 2),
    )  # fmt: skip
    if code in (0x02, 0x11) and align and (in_block := number(18, 2)):  # ADPCM: a constant number of samples per block
        return rate * align / in_block
    if code in PLAIN and channels and bits:
        return float(rate * (align or channels * ((bits + 7) // 8)))
    return float(average)


_RAW = {
    (1, 1): "PCM_U8", (1, 2): "PCM_16", (1, 3): "PCM_24", (1, 4): "PCM_32", (3, 4): "FLOAT", (3, 8): "DOUBLE",
    (6, 1): "ALAW", (7, 1): "ULAW",
}  # fmt: skip
"""libsndfile's subtypes by the fmt chunk's code and the bytes per sample."""


def _raw(fmt: bytes, order: str) -> RawFormat | None:
    """Return the sample format of a fmt chunk; None for compressed formats."""
    if len(fmt) < 16:
        return None
    code, channels, rate, align = (
        int.from_bytes(fmt[a:b], order)  # type: ignore[arg-type]
        for a, b in ((0, 2), (2, 4), (4, 8), (12, 14))
    )
    if code == 0xFFFE and len(fmt) >= 40:
        # The code is the first field of a GUID. Programs differ in its byte order, but only one byte is not 0.
        code = max(fmt[24:28])
    subtype = _RAW.get((code, align // channels)) if channels and align % channels == 0 else None
    return RawFormat(subtype, rate, channels, order) if subtype and rate else None


_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_W64_FMT = b"fmt \xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def w64(source: Source, start: int) -> Structure:
    """Parse a Sony Wave64 file: chunks with GUIDs and 64-bit sizes that include the chunk header."""
    structure = Structure([Link(start, source.size)], cut=False)
    at, fmt = start + 40, b""
    for _ in range(MAX_CHUNKS):
        head = source.peek(at, 24)
        if len(head) < 24:
            return structure
        size = int.from_bytes(head[16:24], "little")
        if head[:16] == _W64_FMT:
            fmt = source.peek(at + 24, 16)
        if head[:16] == _W64_DATA:
            rate = _bytes_per_second(fmt, "little")
            if 24 < size < 1 << 62 and rate:
                structure.seconds = (size - 24) / rate
                structure.cut = at + size > source.size
            return structure
        if size < 24:
            return structure
        at += (size + 7) // 8 * 8
    return structure


def aiff(source: Source, start: int) -> Structure:
    """Parse an AIFF or AIFF-C file; Audio Interchange File Format 1.3, section 4."""
    structure = Structure([Link(start, source.size)], cut=False)
    form_size = int.from_bytes(source.peek(start + 4, 4), "big")
    at = start + 12
    frames = rate = 0.0
    for _ in range(MAX_CHUNKS):
        chunk = _read_chunk(source, at, "big")
        if chunk is None:
            return structure
        if chunk.name == b"COMM":
            common = source.peek(chunk.start, 18)
            frames, rate = float(int.from_bytes(common[2:6], "big")), _extended(common[8:18])
            structure.seconds = frames / rate if frames and rate and frames < 0xFFFFFFFF else None
        if chunk.name == b"SSND":
            end = chunk.start + chunk.size
            if any(abs(chunk.size - s) <= HEADER_SLACK for s in STREAMING_SIZES):
                structure.seconds = None
            elif chunk.size:
                structure.cut = end > source.size and abs(start + 8 + form_size - source.size) > 8
            return structure
        at = chunk.start + chunk.size + chunk.size % 2
    return structure


def _extended(data: bytes) -> float:
    """Return an 80-bit IEEE 754 number."""
    if len(data) < 10:
        return 0.0
    exponent = ((data[0] & 0x7F) << 8 | data[1]) - 16383
    mantissa = int.from_bytes(data[2:10], "big")
    return float(mantissa) * 2.0 ** (exponent - 63) if -64 < exponent < 64 else 0.0


def caf(source: Source, start: int) -> Structure:
    """Parse a Core Audio file: chunks with 64-bit sizes; -1 for an unknown last size."""
    structure = Structure([Link(start, source.size)], cut=False, length_from_decoder=False)
    at, rate, per_packet, frames_per_packet = start + 8, 0.0, 0, 0
    for _ in range(MAX_CHUNKS):
        head = source.peek(at, 12)
        if len(head) < 12:
            return structure
        size = int.from_bytes(head[4:12], "big", signed=True)
        if head[:4] == b"desc":
            import struct

            desc = source.peek(at + 12, 32)
            if len(desc) == 32:
                rate, _, _, per_packet, frames_per_packet, _, _ = struct.unpack(">d4sIIIII", desc)
        if head[:4] == b"data":
            if size >= 0:
                structure.cut = at + 12 + size > source.size
                if per_packet and frames_per_packet and rate:
                    structure.seconds = max(0, size - 4) / per_packet * frames_per_packet / rate
            return structure
        if size < 0:
            return structure
        at += 12 + size
    return structure
