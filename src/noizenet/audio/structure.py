"""What a container's bytes say about its length, read without decoding: links, cut ends, headers' promises."""

from __future__ import annotations

from dataclasses import dataclass, field

from noizenet.audio.issue import Issue
from noizenet.audio.sniff import Container
from noizenet.audio.source import Source

KEEP_TAGS = frozenset({"mp3", "aac", "flac", "tta", "ape"})
"""Containers whose demuxers skip the tags at the front, and read them."""


@dataclass(frozen=True)
class Link:
    """A part of a file that is a recording of its own: its first byte, and the byte behind its last."""

    start: int
    stop: int


@dataclass
class Structure:
    """What the bytes say.

    `cut` is True where bytes are missing at the end, False where none are, None where that cannot be seen; `seconds` is
    a promise that FFmpeg does not report.
    """

    links: list[Link]
    cut: bool | None = None
    seconds: float | None = None
    issues: list[Issue] = field(default_factory=list)


def examine(source: Source, kind: Container, start: int) -> Structure:
    """Look at a container's structure.

    Parameters
    ----------
    source : Source
    kind : Container
    start : int
        Its first byte: not 0 where something stands before it.
    """
    return Structure([Link(start, source.size)])
