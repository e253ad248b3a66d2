"""Where in time a decoder is, and how much is missing: by time stamps, or by bytes where there are none."""

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
"""From this jump of the time stamps on, sound is missing; 0.1 s for other containers, whose stamps are rounded."""
BACKWARD_JUMP_S = 0.05
MAX_JUMP_S = 60.0
"""A jump that is longer than this, and than half of what was decoded, is a broken stamp and no gap."""
STAMPED = frozenset({"matroska", "mp4"})
"""Containers that a recorder or an editor may leave gaps of time in; elsewhere stamps count what was recorded."""
MIN_SHARE = 0.5
"""Where fewer bytes than this share of what a gap's sound would take lie between two packets, none is missing."""
SMALL_HOLE = 32
"""So few bytes between two frames are padding."""


class Clock:
    """Counts what was decoded, and finds what is missing.

    Parameters
    ----------
    kind : str
        The container's name.
    section : Section
        Its bytes, to tell tags from damage.
    """

    def __init__(self, kind: str, section: Section) -> None:
        self._kind, self._raw = kind, kind in RAW
        self._section = section
        self._jump = MIN_JUMP_S.get(kind, 0.1)
        self._anchor: float | None = None  # the stamp of the beginning
        self._seconds = 0.0  # decoded or missing
        self._decoded = 0.0
        self._good_bytes = 0
        self._end: int | None = None  # of the last good packet
        self._leading: tuple[int, int] | None = None  # what lies before the first good packet
        self._shift = 0  # FFmpeg's positions fall behind where its ADTS demuxer skips bytes
        self._skip = -1
        self._lost_s = 0.0
        self._bytes = 0  # of all packets
        # Bytes before the latest packets, whose frames may come late.
        self._holes: deque[float] = deque([0.0], maxlen=3)
        self._packets: deque[tuple[int, int]] = deque(maxlen=4)  # of the latest packets: first byte and size
        self._broken_clusters: list[tuple[int, int]] | None = None
        self.only_stamps = False
        """Whether the latest gap is one of the time stamps alone, with no byte missing."""

    @property
    def begun(self) -> bool:
        """Whether a frame with a time stamp was given out."""
        return self._anchor is not None

    def note_packet(self, packet: Any) -> None:
        """Note where a packet of a container with time stamps lies; None stands for bytes that are no packet."""
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
        """Note a packet that was decoded, from a byte of it on."""
        if not self._raw or packet.pos is None or packet.pos < 0:
            return
        begin = packet.pos + offset + self._shift
        if self._end is not None:
            if self._kind == "aac":
                begin = self._resync(begin)
            if self._leading and self._decoded:  # how long its bytes are is known now
                self._note_hole(*self._leading)
                self._leading = None
            self._note_hole(self._end, begin)
        elif self._kind != "mp3":  # whose first frame may hold a header in the place of sound
            self._leading = 0, begin
        self._end = begin + packet.size - offset
        self._good_bytes += packet.size - offset

    def note_lost(self, packet: Any) -> None:
        """Note a packet that cannot be decoded; a stream without stamps counts the bytes up to the next good one."""
        if self._raw:
            return
        duration = float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0
        self._lost_s += max(duration, 1e-6)

    def note_lost_seconds(self, seconds: float) -> None:
        """Note sound that is lost, by its length."""
        self._lost_s += seconds

    def find_tags(self, packet: Any) -> None:
        """Find out whether a tag begins after the last good packet; what lies in it is no sound."""
        if packet.pos is None or packet.pos < 0:
            return
        begin = packet.pos if self._end is None else self._end
        end = self._after_tags(begin)
        if end > begin:
            self._skip = end

    def tag_bytes(self, packet: Any) -> int:
        """Return how many bytes at a packet's front lie in a tag."""
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
        """Note a frame that was given out."""
        seconds = frame.samples / frame.sample_rate
        self._seconds += seconds
        self._decoded += seconds

    @property
    def end(self) -> int | None:
        """The byte after the last good packet, of a stream without time stamps."""
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
        """Whether bytes were cut out at the latest packets: only Matroska's elements show that, where none is left."""
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
        """Return where a packet after damage really is: FFmpeg's position may be short of it."""
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
