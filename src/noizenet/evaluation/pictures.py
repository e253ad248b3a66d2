"""The report's pictures: spectrograms and distributions of evaluated and of real music."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noizenet.audio.waveform import Waveform
from noizenet.views.base import DrawOptions
from noizenet.views.render import new_figure
from noizenet.views.sound import open_sound
from noizenet.views.spectrogram import SpectrogramView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_spectrograms(pairs: Sequence[tuple[str, Waveform, Waveform | None]]) -> bytes:
    """Return a PNG: each recording on the left, real music of its genre on the right, up to 8 kHz."""
    figure = new_figure(10, 1.9 * len(pairs) + 0.4)
    axes = figure.subplots(len(pairs), 2, squeeze=False)
    view = SpectrogramView(1024)
    for row, (name, made, real) in zip(axes, pairs, strict=True):
        for ax, sound, title in ((row[0], made, name), (row[1], real, "held-out music")):
            if sound is None or not len(sound.samples):
                ax.set_axis_off()
                continue
            with open_sound(sound) as opened:
                view.draw(view.analyse(opened), ax, figure, DrawOptions(scale="linear", colour_bar=False))
            ax.set_ylim(0, min(8000, sound.sample_rate / 2))
            ax.tick_params(labelsize=7)
            ax.set_title(title, fontsize=9, loc="left")
            ax.set_ylabel("Hz", fontsize=8)
            ax.set_xlabel(ax.get_xlabel(), fontsize=8)
    return _png(figure, dpi=80)


def draw_distributions(distributions: dict[str, dict[str, Any]]) -> bytes:
    """Return a PNG of each distribution's quantiles, in evaluated and in real music."""
    count = len(distributions)
    figure = new_figure(10, 1.1 * count + 0.8)
    axes = figure.subplots(count, 1, squeeze=False)[:, 0]
    for ax, (name, sides) in zip(axes, distributions.items(), strict=True):
        for y, (side, colour) in enumerate((("real", "#6b7280"), ("made", "#2563eb"))):
            q = sides[side]
            ax.plot([q[2], q[-3]], [y, y], color=colour, lw=2)
            ax.plot([q[10], q[30]], [y, y], color=colour, lw=8, solid_capstyle="butt")
            ax.plot([q[20]], [y], "|", color="white", ms=8, mew=2)
        ax.set_yticks([0, 1], ["real", "made"])
        ax.set_ylim(-0.7, 1.7)
        ax.set_title(f"{name} ({sides['unit']})" if sides["unit"] else name, fontsize=9, loc="left")
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _png(figure: Figure, dpi: int = 110) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi)
    return buffer.getvalue()
