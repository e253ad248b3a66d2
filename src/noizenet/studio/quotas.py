"""How much the data folder may hold: caches make room oldest first, what a listener keeps is never removed."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 where there is none."""
    total = 0
    for part in [path] if path.is_file() else path.rglob("*"):
        with contextlib.suppress(OSError):  # removed meanwhile
            total += part.stat().st_size if part.is_file() else 0
    return total


def make_room(folder: Path, most: int, most_bytes: int, *, keep: tuple[str, ...] = ()) -> list[str]:
    """Remove a cache's oldest entries (files or folders) until it holds at most so many, of so many bytes.

    Parameters
    ----------
    folder : Path
    most, most_bytes : int
    keep : tuple of str
        Names that are no cache entries.

    Returns
    -------
    list of str
        Names of what was removed.
    """
    entries = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.name not in keep:
                entries.append((path.stat().st_mtime, size_of(path), path))
    entries.sort(key=lambda e: e[0])
    total, removed = sum(size for _, size, _ in entries), []
    while entries and (len(entries) > most or total > most_bytes):
        _, size, path = entries.pop(0)
        total -= size
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed.append(path.name)
    return removed
