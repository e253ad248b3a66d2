"""The folder of a run: locked while it trains, and removed if the run is refused before it starts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from noizenet.base.errors import UsageError
from noizenet.base.files import check_own_folder, folder_lock, make_folder, remove_stale
from noizenet.store.codecs import FOLDER
from noizenet.store.model import ABOUT, WEIGHTS
from noizenet.training import checkpoint


def check_run_folder(folder: Path) -> None:
    """Check that a folder is suitable for a run: see :func:`~noizenet.base.files.check_own_folder`.

    Raises
    ------
    UsageError
        If it holds other files.
    """
    check_own_folder(
        folder, "model", [ABOUT, checkpoint.NAME, "metrics.jsonl"],
        [WEIGHTS, FOLDER, "metrics.csv", "curves.png", "tensorboard"],
    )  # fmt: skip


@contextlib.contextmanager
def run_folder(folder: Path) -> Iterator[None]:
    """Make a run's folder, lock it, and remove partial files that a killed run left in it.

    If the run ends with a :exc:`~noizenet.base.errors.UsageError`, a folder that was made for it is removed if empty.

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
