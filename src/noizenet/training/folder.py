"""The folder of a run: locked while it trains, and gone again where the run was refused before it began."""

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
    """Make sure that a run can be in a folder: see :func:`~noizenet.base.files.check_own_folder`.

    Raises
    ------
    UsageError
    """
    check_own_folder(
        folder, "model", [ABOUT, checkpoint.NAME, "metrics.jsonl"],
        [WEIGHTS, FOLDER, "metrics.csv", "curves.png", "tensorboard"],
    )  # fmt: skip


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
