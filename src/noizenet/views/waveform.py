"""The sample view: amplitude over time, as the minimum and maximum of each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.views.base import DrawOptions, View, time_axis
from noizenet.views.render import EDGE, WAVE
from noizenet.views.sound import Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 1600
FINE = 64  # samples per fine bin while reading


class Peaks(NamedTuple):
    """Times of the columns in seconds [n], minimum and maximum of each column [n], length in seconds."""

    times: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    seconds: float


class WaveformView(View):
    """Minimum and maximum of each column: no sample is skipped, so even a single click is visible."""

    name = "waveform"
    height = 2.2

    def analyse(self, sound: Sound) -> Peaks:
        """Reduce to at most 3,200 columns."""
        low = high = np.zeros(0, np.float32)
        per, rest, count = FINE, np.zeros(0, np.float32), 0
        for block in sound.blocks:
            count += len(block)
            joined = np.concatenate([rest, block])
            whole = len(joined) // per * per
            bins, rest = joined[:whole].reshape(-1, per), joined[whole:]
            low, high = np.concatenate([low, bins.min(1)]), np.concatenate([high, bins.max(1)])
            while len(low) >= 4 * COLUMNS and len(low) % 2 == 0:  # halve the resolution, double the bin
                low, high, per = low.reshape(-1, 2).min(1), high.reshape(-1, 2).max(1), per * 2
        if len(rest):
            low, high = np.append(low, rest.min()), np.append(high, rest.max())
        times = (np.arange(len(low)) + 0.5) * per / sound.sample_rate
        return Peaks(times, low, high, count / sound.sample_rate)

    def draw(self, data: Any, axes: Axes, figure: Figure, options: DrawOptions) -> None:
        """Draw a filled band from low to high."""
        peaks: Peaks = data
        unit = time_axis(axes, peaks.seconds)
        axes.fill_between(peaks.times / unit, peaks.low, peaks.high, color=WAVE, lw=0.3, edgecolor=EDGE)
        limit = max(0.05, 1.05 * float(np.abs([peaks.low.min(), peaks.high.max()]).max()))
        axes.set(xlim=(0, peaks.seconds / unit), ylim=(-limit, limit), ylabel="amplitude", title=options.title)
        axes.axhline(0, color="black", lw=0.4, alpha=0.5)
        axes.grid(alpha=0.2)
