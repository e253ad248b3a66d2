"""What a container's parser finds: the separate recordings (links) of a file, and its declared length."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from noizenet.audio.issue import Issue

MAX_CHUNKS = 100_000
"""Maximum chunks at one level in a valid file."""
MAX_LINKS = 1000


class RawFormat(NamedTuple):
    """Format of samples without a header: libsndfile's subtype, sample rate in Hz, channels, byte order."""

    subtype: str
    rate: int
    channels: int
    order: str


@dataclass(frozen=True)
class Link:
    """A part of a file that is a separate recording: its first byte, and the byte after its last.

    `end_s` is the time stamp of its end in seconds, if its last bytes declare it. A link that continues a recording
    after damage has the time of its start in seconds, `resumes_s`. `raw` is the format of a link without a header.
    """

    start: int
    stop: int
    end_s: float | None = None
    resumes_s: float | None = None
    raw: RawFormat | None = None


def continuation(start: int, stop: int, raw: RawFormat | None) -> Link:
    """Return a link without a header that continues the previous one."""
    return Link(start, stop, resumes_s=0.0, raw=raw)


@dataclass
class Structure:
    """The parsed structure of a file.

    Attributes
    ----------
    links : list of Link
        Consecutive recordings in the file; most files have one.
    cut : bool or None
        Whether bytes are missing at the end; None if unknown.
    seconds : float or None
        Declared length of the whole file.
    length_from_decoder : bool
        Whether the decoder reports the declared length instead.
    checked_end : bool
        Whether truncation shows as a broken last frame where `cut` is None.
    options : dict
        Options of FFmpeg's demuxer.
    problem : str
        Why the file cannot contain audio, as the message after the path; empty otherwise.
    suspicion : str
        Likely cause if the decoder cannot open the file.
    issues : list of Issue
        Issues found by parsing.
    """

    links: list[Link]
    cut: bool | None = None
    seconds: float | None = None
    length_from_decoder: bool = False
    checked_end: bool = False
    options: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    suspicion: str = ""
    issues: list[Issue] = field(default_factory=list)
