"""The spectrogram: level of each frequency over time in decibels, on a linear or logarithmic frequency axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.dsp import hann, magnitude_spectra, stream_frames
from noizenet.audio.units import amplitude_to_db
from noizenet.views.base import DrawOptions, View, time_axis
from noizenet.views.render import MAP
from noizenet.views.sound import Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 1000
RANGE_DB = 80.0
LOWEST_HZ = 30.0


class Spectrogram(NamedTuple):
    """Levels in dB re full-scale sine [F, T], frequencies in Hz [F], times of the columns in s [T], length in s."""

    levels_db: NDArray[np.float32]
    frequencies: NDArray[np.float64]
    times: NDArray[np.float64]
    seconds: float


class SpectrogramView(View):
    """Spectrogram of any length; a column is the mean power over its time."""

    name = "spectrogram"
    height = 3.0

    def __init__(self, n_fft: int = 2048) -> None:
        self.n_fft = n_fft

    def analyse(self, sound: Sound) -> Spectrogram:
        """Reduce to at most 2,000 columns in constant memory."""
        n, hop = self.n_fft, self.n_fft // 4
        window = hann(n)
        power = np.zeros((0, n // 2 + 1), np.float32)
        pending = power
        per, count = 1, 0

        def padded() -> Any:
            nonlocal count
            yield np.zeros(n // 2, np.float32)  # centre the first frame on the first sample
            for block in sound.blocks:
                count += len(block)
                yield block
            yield np.zeros(n // 2 + hop, np.float32)

        for frames in stream_frames(padded(), n, hop):
            for start in range(0, len(frames), 512):
                new = np.square(magnitude_spectra(frames[start : start + 512], window))
                pending = np.concatenate([pending, new])
                whole = len(pending) // per * per
                columns = pending[:whole].reshape(-1, per, pending.shape[1]).mean(1)
                power, pending = np.concatenate([power, columns]), pending[whole:]
                while len(power) >= 2 * COLUMNS and len(power) % 2 == 0:
                    power, per = power.reshape(-1, 2, power.shape[1]).mean(1), per * 2
        if len(pending):
            power = np.concatenate([power, pending.mean(0, keepdims=True)])
        times = np.arange(len(power)) * per * hop / sound.sample_rate
        frequencies = np.arange(n // 2 + 1) * sound.sample_rate / n
        levels = amplitude_to_db(np.sqrt(power.T)).astype(np.float32)
        return Spectrogram(levels, frequencies, times, count / sound.sample_rate)

    def draw(self, data: Any, axes: Axes, figure: Figure, options: DrawOptions) -> None:
        """Draw 80 dB below the loudest column, with a colour bar."""
        spec: Spectrogram = data
        unit = time_axis(axes, spec.seconds)
        top = max(-20.0, float(np.ceil(spec.levels_db.max() / 5) * 5))
        log = options.scale == "log"
        step = spec.times[1] - spec.times[0] if len(spec.times) > 1 else spec.seconds
        edges = np.append(spec.times, spec.times[-1] + step) / unit
        df = spec.frequencies[1]
        rows = np.append(np.maximum(spec.frequencies - df / 2, 0), spec.frequencies[-1] + df / 2)
        mesh = axes.pcolormesh(
            edges,
            rows,
            spec.levels_db,
            cmap=MAP,
            vmin=top - RANGE_DB,
            vmax=top,
            rasterized=True,
            shading="flat",
        )
        highest = float(spec.frequencies[-1])
        if log:
            axes.set_yscale("log")
            ticks = [t for t in (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000) if t <= highest]
            axes.set_yticks(ticks, [f"{t // 1000}k" if t >= 1000 else str(t) for t in ticks])
            axes.minorticks_off()
        axes.set(
            xlim=(0, spec.seconds / unit), ylim=(LOWEST_HZ if log else 0, highest), ylabel="frequency (Hz)",
            title=options.title,
        )  # fmt: skip
        if options.colour_bar:
            figure.colorbar(mesh, ax=axes, label="level (dB)", pad=0.01, fraction=0.03)
