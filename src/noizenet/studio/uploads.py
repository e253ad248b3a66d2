"""Recordings that a visitor gives: to learn from, or to go on from. Counted, measured, and decoded elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from noizenet.audio.read import AUDIO_SUFFIXES
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.base.files import atomic_path, make_folder
from noizenet.studio.names import checked, inside
from noizenet.studio.probe import probe
from noizenet.studio.settings import Settings


def sound_suffix(name: str) -> str:
    """Return the ending of a sound file's name.

    Raises
    ------
    UsageError
        For a name that is none, or an ending that no sound file has.
    """
    suffix = Path(checked(name, "file name")).suffix.lower()
    if suffix not in AUDIO_SUFFIXES:
        raise UsageError(f"{name}: not a sound file by its ending; known are {' '.join(sorted(AUDIO_SUFFIXES))}")
    return suffix


def target(settings: Settings, collection: str, genre: str, name: str) -> Path:
    """Return where a recording of a collection belongs.

    Raises
    ------
    UsageError
        For a name that is none, an ending that no sound file has, or a collection that is full.
    """
    checked(collection, "collection")
    sound_suffix(name)
    root = settings.folder("uploads")
    folder = inside(root, collection, genre) if genre else inside(root, collection)
    held = [p for p in (root / collection).rglob("*") if p.is_file()] if (root / collection).exists() else []
    if len(held) >= settings.limits.uploads:
        raise UsageError(f"{collection}: holds {len(held)} recordings already, the most that a collection may hold")
    if _bytes_below(root) >= settings.limits.total_bytes:
        raise UsageError("the studio holds as much as it may; remove a collection first")
    return inside(make_folder(folder), name)


async def receive(parts: AsyncIterator[bytes], path: Path, most: int) -> None:
    """Write an upload, whole or not at all.

    Raises
    ------
    UsageError
        If it is larger than `most` bytes, or empty.
    DiskFullError
    """
    written = 0
    with atomic_path(path) as temporary:
        with temporary.open("wb") as handle:
            async for part in parts:
                written += len(part)
                if written > most:
                    raise UsageError(f"{path.name}: larger than {most >> 20} MiB")
                handle.write(part)
        if not written:
            raise UsageError(f"{path.name}: is empty")


def accept(settings: Settings, path: Path, last_seconds: float = 0.0) -> dict[str, Any]:
    """Decode what came elsewhere; remove it where that is not possible.

    Raises
    ------
    AudioError
        Says what is wrong with it.
    """
    try:
        return probe(path, settings.limits, last_seconds)
    except NoizenetError:
        path.unlink(missing_ok=True)
        raise


def collections(settings: Settings) -> list[dict[str, Any]]:
    """Return the collections and what they hold."""
    found = []
    for folder in sorted(p for p in settings.folder("uploads").iterdir() if p.is_dir()):
        files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
        genres = sorted({p.relative_to(folder).parts[0] for p in files if len(p.relative_to(folder).parts) > 1})
        found.append({"name": folder.name, "files": len(files), "bytes": sum(p.stat().st_size for p in files),
                      "genres": genres})  # fmt: skip
    return found


def _bytes_below(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
