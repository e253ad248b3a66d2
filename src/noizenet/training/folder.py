"""The folder of a run: locked while it trains, and gone again where the run was refused before it began."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from noizenet.base.errors import UsageError
from noizenet.base.files import folder_lock, make_folder, remove_stale


@contextlib.contextmanager
def run_folder(folder: Path) -> Iterator[None]:
    """Make a run's folder, hold it for this process, and remove what a killed run has left half-written in it.

    A folder that was made for a run that is wrong use is removed, unless there is something in it.

    Raises
    ------
    LockedError, DiskFullError
    """
    fresh = not folder.exists()
    make_folder(folder)
    try:
        with folder_lock(folder, "run"):
            remove_stale(folder)
            yield
    except UsageError:
        with contextlib.suppress(OSError):
            if fresh and {p.name for p in folder.iterdir()} <= {".lock"}:
                (folder / ".lock").unlink(missing_ok=True)
                folder.rmdir()
        raise
