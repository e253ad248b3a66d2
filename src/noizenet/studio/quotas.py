"""Disk quotas: the oldest entries of caches are evicted; uploads and recordings are never removed."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 if there is none."""
    total = 0
    for part in [path] if path.is_file() else path.rglob("*"):
        with contextlib.suppress(OSError):  # removed meanwhile
            total += part.stat().st_size if part.is_file() else 0
    return total


def evict_oldest(folder: Path, max_entries: int, max_bytes: int, *, keep: tuple[str, ...] = ()) -> list[str]:
    """Remove a cache's oldest entries (files or folders) until it is within its limits.

    Parameters
    ----------
    folder : Path
    max_entries, max_bytes : int
    keep : tuple of str
        Names that are not cache entries.

    Returns
    -------
    list of str
        Names of the removed entries.
    """
    entries = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.name not in keep:
                entries.append((path.stat().st_mtime, size_of(path), path))
    entries.sort(key=lambda e: e[0])
    total, removed = sum(size for _, size, _ in entries), []
    while entries and (len(entries) > max_entries or total > max_bytes):
        _, size, path = entries.pop(0)
        total -= size
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed.append(path.name)
    return removed
