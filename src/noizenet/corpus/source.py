"""What a kind of corpus has to tell: its tracks, its licence, whom to cite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class SourceTrack:
    """A recording as its collection describes it, before it is decoded.

    Parameters
    ----------
    path : Path
        The recording.
    genre : str
        Its label.
    artist, title : str
        Empty where unknown; the file's own tags fill the gap.
    split : str
        ``train``, ``validation`` or ``test`` where the collection prescribes one, else empty.
    """

    path: Path
    genre: str
    artist: str = ""
    title: str = ""
    split: str = ""


@dataclass(frozen=True)
class Problem:
    """A file that was not taken as it is."""

    path: str
    reason: str
    action: str  # "skipped", "kept in part", "repaired", "cut" or "ignored"


@dataclass(frozen=True)
class Scan:
    """What was found: tracks in a stable order, and what was left out."""

    tracks: list[SourceTrack]
    problems: list[Problem] = field(default_factory=list)


class Source(Protocol):
    """A kind of collection.

    Attributes
    ----------
    licence, citation : str
        What a user of the corpus must know.
    checksums : mapping of str to str
        File name → SHA-1, for what can be downloaded; empty otherwise.
    """

    licence: ClassVar[str]
    citation: ClassVar[str]
    checksums: ClassVar[Mapping[str, str]]

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Tell whether `folder` looks like this kind of collection."""
        ...

    @classmethod
    def scan(cls, folder: Path, *, exclude: Path) -> Scan:
        """List the tracks below `folder`, leaving out anything below `exclude`."""
        ...
