"""A decoder's position in time, and the audio that is missing: by time stamps, else by byte positions."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import Any

from noizenet.audio.matroska import broken_clusters, is_whole
from noizenet.audio.sniff import RAW, SEARCH_BYTES, tag_size
from noizenet.audio.source import Section
from noizenet.audio.sync import next_chain, sync_at

MIN_JUMP_S = {"flac": 0.005, "ogg": 0.03}
"""A larger jump of the time stamps means missing audio; 0.1 s for other containers, whose time stamps are rounded."""
BACKWARD_JUMP_S = 0.05
MAX_JUMP_S = 60.0
"""A jump longer than this and than half of what was decoded is a broken time stamp, not a gap."""
STAMPED = frozenset({"matroska", "mp4"})
"""Containers in which a recorder or an editor may leave gaps of time. In others, time stamps count recorded samples."""
MIN_SHARE = 0.5
"""No bytes are missing if a gap between two packets has less than this share of the bytes that its duration needs."""
SMALL_HOLE = 32
"""Up to this number of bytes between two frames is padding."""


class Clock:
    """Counts the decoded audio and detects missing audio.

    Parameters
    ----------
    kind : str
        The container's name.
    section : Section
        Its bytes, which distinguish tags from damage.
    """

    def __init__(self, kind: str, section: Section) -> None:
        self._kind, self._raw = kind, kind in RAW
        self._section = section
        self._jump = MIN_JUMP_S.get(kind, 0.1)
        self._anchor: float | None = None  # the time stamp of the first frame
        self._seconds = 0.0  # decoded or missing
        self._decoded = 0.0
        self._good_bytes = 0
        self._end: int | None = None  # of the last good packet
        self._leading: tuple[int, int] | None = None  # byte range before the first good packet
        self._shift = 0  # FFmpeg's positions lag where its ADTS demuxer skips bytes
        self._skip = -1
        self._lost_s = 0.0
        self._bytes = 0  # of all packets
        # Bytes before each of the latest packets. A decoder may delay their frames.
        self._holes: deque[float] = deque([0.0], maxlen=3)
        self._packets: deque[tuple[int, int]] = deque(maxlen=4)  # of the latest packets: first byte and size
        self._broken_clusters: list[tuple[int, int]] | None = None
        self.only_stamps = False
        """Whether the latest gap is in the time stamps only and no bytes are missing."""

    @property
    def begun(self) -> bool:
        """Whether a frame with a time stamp was decoded."""
        return self._anchor is not None

    def note_packet(self, packet: Any) -> None:
        """Record the position of a packet of a container with time stamps; None for bytes that are not a packet."""
        if self._kind not in STAMPED or (packet is not None and not packet.size):
            return
        if packet is None or packet.pos is None or packet.pos < 0:
            self._holes.append(math.inf)
            return
        self._holes.append(packet.pos - self._end if self._end is not None else 0.0)
        self._packets.append((packet.pos, packet.size))
        self._end = max(self._end or 0, packet.pos + packet.size)
        self._bytes += packet.size

    def note_decoded(self, packet: Any, offset: int = 0) -> None:
        """Record a packet that was decoded from byte `offset` on."""
        if not self._raw or packet.pos is None or packet.pos < 0:
            return
        begin = packet.pos + offset + self._shift
        if self._end is not None:
            if self._kind == "aac":
                begin = self._resync(begin)
            if self._leading and self._decoded:  # seconds per byte is known now
                self._note_hole(*self._leading)
                self._leading = None
            self._note_hole(self._end, begin)
        elif self._kind != "mp3":  # the first frame of an mp3 may be a header
            self._leading = 0, begin
        self._end = begin + packet.size - offset
        self._good_bytes += packet.size - offset

    def note_lost(self, packet: Any) -> None:
        """Record a packet that cannot be decoded; without time stamps, byte positions are used instead."""
        if self._raw:
            return
        duration = float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0
        self._lost_s += max(duration, 1e-6)

    def note_lost_seconds(self, seconds: float) -> None:
        """Record lost audio by its duration."""
        self._lost_s += seconds

    def find_tags(self, packet: Any) -> None:
        """Find tags after the last good packet; their bytes are not audio."""
        if packet.pos is None or packet.pos < 0:
            return
        begin = packet.pos if self._end is None else self._end
        end = self._after_tags(begin)
        if end > begin:
            self._skip = end

    def tag_bytes(self, packet: Any) -> int:
        """Return the number of a packet's leading bytes that belong to a tag."""
        if packet.pos is None or packet.pos < 0:
            return 0
        return max(0, min(int(packet.size), self._skip - int(packet.pos)))

    def gap_before(self, frame: Any) -> float:
        """Return how many seconds are missing before a frame."""
        lost, self._lost_s = self._lost_s, 0.0
        if self._raw or frame.pts is None or frame.time_base is None:
            self._seconds += lost
            self.only_stamps = False
            return lost
        at = float(frame.pts * frame.time_base)
        if self._anchor is None:
            self._anchor = at - self._seconds - lost
        jump = at - self._anchor - self._seconds
        if jump < -BACKWARD_JUMP_S or jump > max(MAX_JUMP_S, 0.5 * self._seconds):
            self._anchor = at - self._seconds - lost
            jump = lost
        if jump < self._jump and not lost:
            return 0.0
        jump = max(jump, 0.0)
        expected = jump * self._bytes / self._decoded if self._decoded else 0.0
        stamps = self._kind in STAMPED and not lost and max(self._holes) < MIN_SHARE * expected
        self.only_stamps = stamps and not self._is_cut()
        self._seconds += jump
        return jump

    def advance(self, frame: Any) -> None:
        """Advance by a decoded frame."""
        seconds = frame.samples / frame.sample_rate
        self._seconds += seconds
        self._decoded += seconds

    @property
    def end(self) -> int | None:
        """The byte after the last good packet; None for a stream with time stamps."""
        return self._end if self._raw else None

    def missing_at_end(self, until: float | None, stop: int) -> float:
        """Return how many seconds are missing after the last frame, up to a byte, as far as that can be seen."""
        if self._raw:
            if self._end is not None:
                self._note_hole(self._end, stop)
        elif until is not None and self._anchor is not None:
            missing = until - self._anchor - self._seconds
            if self._jump < missing < max(MAX_JUMP_S, 0.5 * self._seconds):
                return missing
        return self._lost_s

    def _is_cut(self) -> bool:
        """Whether bytes were cut out near the latest packets; only Matroska's elements show that."""
        if self._kind != "matroska":
            return False
        packets = list(self._packets)
        if any(not is_whole(self._section, *a, b[0]) for a, b in pairwise(packets)):
            return True
        if self._broken_clusters is None:
            self._broken_clusters = broken_clusters(self._section)
        first, last = packets[0][0], packets[-1][0]
        return any(a < last and first < b for a, b in self._broken_clusters)

    def _resync(self, begin: int) -> int:
        """Return the true position of a packet after damage; FFmpeg's position may be too low."""
        if sync_at(self._section.peek(begin, 8), 0) is not None:
            return begin
        start = self._end or 0
        data = self._section.peek(start, SEARCH_BYTES)
        found = next_chain(data, 0, len(data), self._kind)
        if found is None or start + found[0] < begin:
            return begin
        self._shift += start + found[0] - begin
        return start + found[0]

    def _note_hole(self, start: int, stop: int) -> None:
        if stop - start <= SMALL_HOLE:
            return
        start = self._after_tags(start)
        padding = stop == self._section.size and not self._section.peek(start, stop - start).strip(b"\0")
        if stop - start > SMALL_HOLE and self._good_bytes and not padding:
            self._lost_s += (stop - start) * self._decoded / self._good_bytes

    def _after_tags(self, at: int) -> int:
        while size := tag_size(self._section.peek(at, 32)):
            at += size
        return at
