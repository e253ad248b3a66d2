"""The interface of a corpus source: its tracks, licence and citation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class SourceTrack:
    """A recording with the metadata of its collection, before it is decoded.

    Parameters
    ----------
    path : Path
        The recording.
    genre : str
        Its genre label.
    artist, title : str
        Empty if unknown; the tags of the file are used instead.
    split : str
        ``train``, ``validation`` or ``test`` if the collection prescribes one, else empty.
    """

    path: Path
    genre: str
    artist: str = ""
    title: str = ""
    split: str = ""


@dataclass(frozen=True)
class Problem:
    """A file that was skipped, repaired, cut or ignored, with the reason."""

    path: str
    reason: str
    action: str  # "skipped", "kept in part", "repaired", "cut" or "ignored"


@dataclass(frozen=True)
class Scan:
    """The result of a scan: tracks in a stable order, and problems."""

    tracks: list[SourceTrack]
    problems: list[Problem] = field(default_factory=list)


class Source(Protocol):
    """A kind of collection.

    Attributes
    ----------
    licence, citation : str
        Licence and citation of the recordings.
    checksums : mapping of str to str
        File name → SHA-1, for what can be downloaded; empty otherwise.
    """

    licence: ClassVar[str]
    citation: ClassVar[str]
    checksums: ClassVar[Mapping[str, str]]

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Return whether `folder` looks like this kind of collection."""
        ...

    @classmethod
    def scan(cls, folder: Path, *, exclude: Path) -> Scan:
        """List the tracks below `folder`, leaving out anything below `exclude`."""
        ...
