"""The length header of MPEG audio (Xing, Info, VBRI), and Ogg pages with chained streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from noizenet.audio.issue import Issue, lost
from noizenet.audio.link import Link, Structure
from noizenet.audio.sniff import tag_size
from noizenet.audio.source import Source
from noizenet.audio.sync import Sync, sync_at

SEARCH = 1 << 16
HEADLESS = "its beginning with the decoder's setup is missing; copy or download it again"


def mp3(source: Source, start: int) -> Structure:
    """Parse the Xing, Info or VBRI header in the first frame; http://gabriel.mp3-tech.org/mp3infotag.html."""
    structure = Structure([Link(start, source.size)], checked_end=True)
    at = start
    while size := tag_size(source.peek(at, 32)):
        at += size
    data = source.peek(at, SEARCH)
    offset = 0
    while (offset := data.find(b"\xff", offset)) >= 0:
        frame = sync_at(data, offset)
        if frame is not None and frame.container == "mp3":
            break
        offset += 1
    else:
        return structure
    found = _lengths(data[offset : offset + 1024], frame)
    if found is None:
        return structure
    frames, count, skipped = found
    if frames:
        structure.seconds = max(0.0, frames * frame.samples - skipped) / frame.rate or None
    if count:
        structure.cut = at + offset + count > source.size + frame.size
    return structure


def _lengths(data: bytes, frame: Sync) -> tuple[int, int, int] | None:
    """Return the frames, bytes and samples of encoder delay that a frame's header declares; 0 for unknown values."""
    vbri = data.find(b"VBRI", 36, 40)
    if vbri >= 0 and len(data) >= vbri + 18:
        count, frames = (int.from_bytes(data[vbri + i : vbri + i + 4], "big") for i in (10, 14))
        return frames, count, 0
    at = max(data.find(b"Xing", 4, 48), data.find(b"Info", 4, 48))
    if at < 0 or len(data) < at + 16:
        return None
    flags = int.from_bytes(data[at + 4 : at + 8], "big")
    frames = count = skipped = 0
    at += 8
    if flags & 1:
        frames, at = int.from_bytes(data[at : at + 4], "big"), at + 4
    if flags & 2:
        count, at = int.from_bytes(data[at : at + 4], "big"), at + 4
    at += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    lame = data[at : at + 24]
    if len(lame) == 24 and lame[:4] in (b"LAME", b"Lavf", b"Lavc"):
        skipped = ((lame[21] << 4) | (lame[22] >> 4)) + (((lame[22] & 15) << 8) | lame[23])
    return frames, count, skipped


class _Page(NamedTuple):
    at: int
    size: int  # of header and body; 0 if incomplete
    flags: int
    granule: int
    serial: int
    number: int
    first: bytes  # of the body


class _Stream:
    """A logical stream of a link: its rate (from its first page), its last granule position, and whether it ended."""

    def __init__(self, page: _Page) -> None:
        self.rate, self.skip = _rate(page.first)
        self.granule, self.ended = 0, False
        self._number = page.number
        self.headless = False
        """Whether pages are missing right after the first, which contain the rest of the stream's headers."""

    def push(self, page: _Page) -> None:
        self.headless = self.headless or (not self.granule and page.number not in (self._number, self._number + 1))
        self._number = page.number
        if 0 <= page.granule < 1 << 62:
            self.granule = page.granule
        self.ended = self.ended or bool(page.flags & 4)

    @property
    def end_s(self) -> float | None:
        return (self.granule - self.skip) / self.rate if self.rate and self.granule else None


def ogg(source: Source, start: int) -> Structure:
    """Walk an Ogg file's pages; RFC 3533, sections 4 and 6.

    Chained streams (a new beginning after the end of others) are separate links: with the headers of the first stream,
    a decoder of the second gives noise or nothing.
    """
    links: list[Link] = []
    begin, fresh = start, True
    streams: dict[int, _Stream] = {}
    broken = begun = headless = False
    issues: list[Issue] = []
    for page in _pages(source, start):
        begun = begun or bool(page.flags & 2)
        headless = headless or not begun
        if page.flags & 2 and _rate(page.first)[0]:
            if not fresh:
                links.append(Link(begin, page.at, _end_s(streams)))
                begin, fresh, streams = page.at, True, {}
            elif headless and not streams and not issues:
                issues.append(lost(f"its beginning is missing: the first {page.at - begin:,} bytes cannot be decoded"))
                begin = page.at
            streams[page.serial] = _Stream(page)
        elif page.serial in streams:
            fresh = False
        if page.serial in streams and page.size:
            streams[page.serial].push(page)
        broken = page.size == 0
    links.append(Link(begin, source.size, _end_s(streams)))
    structure = Structure(links, cut=broken or not all(s.ended for s in streams.values()), issues=issues)
    if headless and not issues:
        structure.problem = f"not a readable recording ({HEADLESS})"
    elif any(s.headless for s in streams.values()):
        structure.suspicion = HEADLESS
    return structure


def _end_s(streams: dict[int, _Stream]) -> float | None:
    sound = [s for s in streams.values() if s.rate]
    return sound[0].end_s if len(sound) == 1 else None


def _pages(source: Source, at: int) -> Iterator[_Page]:
    while at < source.size:
        page = _page(source, at)
        if page is not None:
            yield page
            if page.size:
                at += page.size
                continue
        following = _find_page(source, at + 1)
        if following is None:
            return
        at = following


def _page(source: Source, at: int) -> _Page | None:
    head = source.peek(at, 27 + 255 + 64)
    if head[:4] != b"OggS" or len(head) < 27 or head[4]:
        return None
    count = head[26]
    body = 27 + count
    size = body + sum(head[27:body])
    complete = len(head) >= body and at + size <= source.size
    granule, serial, number = (int.from_bytes(head[a:b], "little") for a, b in ((6, 14), (14, 18), (18, 22)))
    return _Page(at, size if complete else 0, head[5], granule, serial, number, head[body : body + 64])


def _find_page(source: Source, at: int) -> int | None:
    while at < source.size:
        data = source.peek(at, 1 << 20)
        found = data.find(b"OggS")
        if found >= 0:
            return at + found
        at += max(1, len(data) - 3)
    return None


def _rate(first: bytes) -> tuple[int, int]:
    """Return the rate of an audio stream's granule positions, and the samples to skip; (0, 0) for other streams.

    Sources: Vorbis I, section 4.2.2; RFC 7845, section 5.1; RFC 9639, section 10.1; the Speex manual, section 7.3.
    """
    if first.startswith(b"\x01vorbis"):
        return int.from_bytes(first[12:16], "little"), 0
    if first.startswith(b"OpusHead"):
        return 48_000, int.from_bytes(first[10:12], "little")
    if first.startswith(b"\x7fFLAC"):
        return int.from_bytes(first[27:30], "big") >> 4, 0
    if first.startswith(b"Speex   "):
        return int.from_bytes(first[36:40], "little"), 0
    return 0, 0
