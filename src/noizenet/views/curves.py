"""Loss over time, training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from noizenet.views.render import ACCENT, MUTED, WAVE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_curves(rows: Sequence[Mapping[str, Any]], title: str = "Training") -> Figure:
    """Draw the loss of a run.

    Parameters
    ----------
    rows : sequence of mapping
        Lines of ``metrics.jsonl``.
    title : str

    Returns
    -------
    Figure
    """
    figure = new_figure(7.5, 3.6)
    axes = figure.add_subplot()
    train = [(r["seconds"] / 60, r["loss"]) for r in rows if r.get("loss") is not None]
    held = [(r["seconds"] / 60, r["validation_loss"]) for r in rows if r.get("validation_loss") is not None]
    if not train + held:  # a non-finite loss is null in the file
        axes.set(xlabel="minutes", ylabel="loss", title=f"{title}: no finite loss")
        return figure
    if train:
        axes.plot(*zip(*train, strict=True), color=WAVE, lw=1.0, alpha=0.8, label="training")
    if held:
        axes.plot(*zip(*held, strict=True), "o-", ms=3, color=ACCENT, lw=1.4, label="held-out tracks")
    best = min(held, key=lambda p: p[1]) if held else None
    if best:
        axes.axhline(best[1], color=MUTED, lw=0.7, ls=":")
        axes.annotate(f"best {best[1]:.4g}", best, textcoords="offset points", xytext=(4, -12), fontsize=8)
    values = [v for _, v in train + held]
    if min(values) > 0 and max(values) / min(values) > 20:
        axes.set_yscale("log")
    axes.set(xlabel="minutes", ylabel="loss", title=title)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure
