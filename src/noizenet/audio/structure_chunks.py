"""Files of chunks: wav and its kin, AIFF, CAF. Their sizes against the bytes that are there."""

from __future__ import annotations

from typing import NamedTuple

from noizenet.audio.issue import repaired
from noizenet.audio.sniff import find_another
from noizenet.audio.source import Source
from noizenet.audio.structure import MOST_CHUNKS, Link, Structure

STREAMING_SIZES = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""What programs write that do not know a file's length yet, give or take a header."""
PLAIN = (1, 3, 6, 7, 0xFFFE)
"""Codes of formats whose samples all take the same bytes."""
HEADER_SLACK = 1 << 16


class _Chunk(NamedTuple):
    name: bytes
    start: int  # of its content
    size: int


def riff(source: Source, start: int) -> Structure:
    """Look at a wav file (RIFF, RF64, BW64, RIFX), or several joined; https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE."""
    head = source.peek(start, 12)
    order = "big" if head[:4] in (b"RIFX", b"FFIR") else "little"
    riff_size = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
    structure = Structure([Link(start, source.size)], cut=False)
    fmt, long_size, counted = b"", None, 0
    at, chunk = start + 12, _read_chunk(source, start + 12, order)
    for _ in range(MOST_CHUNKS):
        if chunk is None or chunk.name == b"data":
            break
        if chunk.name == b"fmt ":
            fmt = source.peek(chunk.start, 20)
        elif chunk.name == b"fact":
            counted = int.from_bytes(source.peek(chunk.start, 4), order)  # type: ignore[arg-type]
        elif chunk.name == b"ds64":
            long_size = int.from_bytes(source.peek(chunk.start + 8, 8), "little")
        at = chunk.start + chunk.size + chunk.size % 2
        chunk = _read_chunk(source, at, order)
    if chunk is None or chunk.name != b"data":
        structure.problem = "holds no sound (it ends before the sound begins)"
        return structure
    size = chunk.size if long_size is None or chunk.size != 0xFFFFFFFF else long_size
    per_second = _bytes_per_second(fmt, order)
    code, rate = (int.from_bytes(fmt[i : i + n], order) for i, n in ((0, 2), (4, 4)))  # type: ignore[arg-type]
    if code not in PLAIN and rate and 0 < counted < 0x7FFFFFFF:
        # A compressed wav counts its samples in its fact chunk; its bytes per second are often wrong.
        per_second = size * rate / counted
    _judge(structure, source, _Chunk(b"data", chunk.start, size), per_second, order)
    whole = abs(start + 8 + riff_size - source.size) <= 8
    if structure.cut and whole:
        structure.cut = False  # the outer size is right: only the inner one is wrong
    return structure


def _judge(structure: Structure, source: Source, data: _Chunk, per_second: float, order: str) -> None:
    """Compare a data chunk's size with the bytes that follow."""
    there = source.size - data.start
    if data.size == 0:
        if there <= 0 or _are_chunks(source, data.start, order):
            structure.problem = "holds no sound (zero length)"
        else:
            structure.issues.append(repaired("the header's length is 0; all that follows it was decoded"))
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
    if find_another(source, "wav", rest) is not None:
        return
    if per_second and source.size - rest > 0.1 * per_second and not _are_chunks(source, rest, order):
        structure.options["ignore_length"] = "1"


def _next_riff(source: Source, at: int, order: str) -> int | None:
    """Return where another wav begins among the chunks after the sound, if one does."""
    for _ in range(1000):
        if source.peek(at, 4) in (b"RIFF", b"RF64", b"BW64") and source.peek(at + 8, 4) == b"WAVE":
            return at
        chunk = _read_chunk(source, at, order)
        if chunk is None or not _plausible(source, chunk):
            return None
        at = chunk.start + chunk.size + chunk.size % 2
    return None


def _are_chunks(source: Source, at: int, order: str) -> bool:
    """Whether the bytes from here to the end are chunks (tags, cue points), or padding."""
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
    """Return the fmt chunk's bytes per second, for PCM by its rate and width (the field itself is often wrong)."""
    if len(fmt) < 16:
        return 0.0

    def number(at: int, count: int) -> int:
        return int.from_bytes(fmt[at : at + count], order)  # type: ignore[arg-type]

    code, channels, rate, average, align, bits = (
        number(0, 2), number(2, 2), number(4, 4), number(8, 4), number(12, 2), number(14, 2),
    )  # fmt: skip
    if code in (0x02, 0x11) and align and (in_block := number(18, 2)):  # ADPCM: blocks of so many samples
        return rate * align / in_block
    if code in PLAIN and channels and bits:
        return float(rate * (align or channels * ((bits + 7) // 8)))
    return float(average)


_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_W64_FMT = b"fmt \xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def w64(source: Source, start: int) -> Structure:
    """Look at a Sony Wave64 file: chunks of GUIDs and 64-bit sizes that count their own heads."""
    structure = Structure([Link(start, source.size)], cut=False)
    at, fmt = start + 40, b""
    for _ in range(MOST_CHUNKS):
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
    """Look at an AIFF or AIFF-C file; Audio Interchange File Format 1.3, section 4."""
    structure = Structure([Link(start, source.size)], cut=False)
    form_size = int.from_bytes(source.peek(start + 4, 4), "big")
    at = start + 12
    frames = rate = 0.0
    for _ in range(MOST_CHUNKS):
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
    """Look at a Core Audio file: chunks with 64-bit sizes, -1 where the last one's is not known."""
    structure = Structure([Link(start, source.size)], cut=False, ask=False)
    at, rate, per_packet, frames_per_packet = start + 8, 0.0, 0, 0
    for _ in range(MOST_CHUNKS):
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
