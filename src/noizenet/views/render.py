"""Figures to files: PNG or SVG, written atomically; matplotlib's global state is not changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from noizenet.base.errors import UsageError
from noizenet.base.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
WAVE, EDGE, ACCENT, MUTED = "#2a6f97", "#014f86", "#c8553d", "#6c757d"
MAP = "magma"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure without a window; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path | str, dpi: int = 110) -> None:
    """Write a figure; the suffix selects the format.

    Raises
    ------
    UsageError
        For another suffix, or a missing folder.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: cannot draw to {path.suffix or 'a file without suffix'}; use .png or .svg")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder; create it first")
    kind = path.suffix.lower().removeprefix(".")
    # No date in the file, so the same data give the same bytes.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata)
