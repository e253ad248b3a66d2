"""A folder of genre folders, or a flat folder of songs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from noizenet.audio.read import AUDIO_SUFFIXES
from noizenet.base.errors import UsageError
from noizenet.corpus.source import Problem, Scan, SourceTrack


class FolderSource:
    """``folder/genre/…/song.*``; songs that lie directly in ``folder`` take its name as their genre."""

    licence: ClassVar[str] = "as the recordings' owners say; noizenet copies nothing beyond the corpus folder"
    citation: ClassVar[str] = "the owner's own recordings"
    checksums: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Any folder will do."""
        return folder.is_dir()

    @classmethod
    def scan(cls, folder: Path, *, exclude: Path) -> Scan:
        """List the recordings; other files are named as ignored, hidden ones passed over."""
        tracks: list[SourceTrack] = []
        problems: list[Problem] = []
        for path in walk(folder, exclude, problems):
            relative = path.relative_to(folder)
            if path.suffix.lower() not in AUDIO_SUFFIXES:
                problems.append(Problem(str(relative), "not an audio file (by its ending)", "ignored"))
                continue
            genre = relative.parts[0] if len(relative.parts) > 1 else folder.resolve().name
            tracks.append(SourceTrack(path=path, genre=genre))
        return Scan(tracks, problems)


def walk(folder: Path, exclude: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield the files below `folder` in a stable order; links are followed once, unreadable folders noted."""
    seen: set[str] = set()
    excluded = os.path.realpath(exclude)

    def note(error: OSError) -> None:
        name = os.path.relpath(str(error.filename), folder)
        problems.append(Problem(name, f"the folder cannot be read ({error.strerror})", "skipped"))

    try:
        os.listdir(folder)  # noqa: PTH208 - only the error matters
    except OSError as error:
        raise UsageError(f"{folder}: the folder cannot be read ({error.strerror}); check its rights") from error
    for place, folders, files in os.walk(folder, followlinks=True, onerror=note):
        real = os.path.realpath(place)
        if real in seen or real == excluded:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(place) / name
