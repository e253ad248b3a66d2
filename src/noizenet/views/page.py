"""A page of views: one column for each recording, on common scales, one row for each view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import UsageError, suggest
from noizenet.views import VIEWS
from noizenet.views.base import DrawOptions, View
from noizenet.views.render import new_figure
from noizenet.views.sound import open_sound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Source = Path | str | Waveform
WIDTH = 10.0


def choose(kind: str) -> list[str]:
    """Return the views of a ``--kind``.

    Raises
    ------
    UsageError
        For an unknown kind.
    """
    if kind == "all":
        return list(VIEWS)
    if kind not in VIEWS:
        raise UsageError(f"unknown view {kind!r:.80}: {suggest(kind[:80], ['all', *VIEWS])}")
    return [kind]


def analyse(source: Source, kind: str, name: str = "") -> Any:
    """Return a view's arrays of a file or a waveform (see the view's ``analyse``)."""
    view: View = VIEWS.load(kind)()
    with open_sound(source, name) as sound:
        return view.analyse(sound)


def draw_page(
    sources: Sequence[Source],
    kind: str = "all",
    *,
    scale: str = "log",
    names: Sequence[str] = (),
    notes: list[str] | None = None,
) -> Figure:
    """Draw one or more recordings as columns, the chosen views as rows.

    Parameters
    ----------
    sources : sequence of Path, str or Waveform
        Files are read block by block, in constant memory.
    kind : str
        A name of :data:`noizenet.views.VIEWS`, or ``all``.
    scale : str
        ``log`` or ``linear`` frequency.
    names : sequence of str
        Titles of the columns; the file names by default.
    notes : list of str, optional
        Issues of the files (what was repaired or lost) are appended to it.

    Returns
    -------
    Figure
    """
    if not isinstance(kind, str) or not isinstance(scale, str):
        raise UsageError(f"kind, scale: {kind!r:.80}, {scale!r:.80}: expected text")
    if scale not in ("log", "linear"):
        raise UsageError(f"scale: {scale!r:.80} is not 'log' or 'linear'")
    kinds = choose(kind)
    views: list[View] = [VIEWS.load(k)() for k in kinds]
    width = WIDTH if len(sources) == 1 else 7.0 * len(sources)
    figure = new_figure(width, sum(v.height for v in views) + 0.3)
    grid = figure.subplots(
        len(views), len(sources), squeeze=False, gridspec_kw={"height_ratios": [v.height for v in views]}
    )
    for column, source in enumerate(sources):
        for row, view in enumerate(views):
            with open_sound(source, names[column] if names else "") as sound:
                data = view.analyse(sound)
            if row == 0 and notes is not None:
                notes += [f"{source}: {issue.text}" for issue in sound.issues]
            title = sound.name if row == 0 else ""
            view.draw(data, grid[row][column], figure, DrawOptions(scale=scale, title=_short(title)))
    for row, view in enumerate(views):
        if len(sources) > 1 and view.name != "spectrogram":  # common scale, for comparison
            top = max(a.get_ylim()[1] for a in grid[row])
            bottom = min(a.get_ylim()[0] for a in grid[row])
            for axes in grid[row]:
                axes.set_ylim(bottom, top)
    return figure


def _short(text: str, most: int = 70) -> str:
    # A dollar sign would start a formula in matplotlib.
    text = text.replace("$", r"\$")
    return text if len(text) <= most else text[: most - 1] + "…"
