"""Drift of a stream: level and spectral centroid of segments, and the range of real segments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.dsp import hann

N_FFT = 2048


@dataclass(frozen=True)
class Descriptors:
    """Level in dB (0: full-scale square wave) and spectral centroid in Hz of a segment."""

    level_db: float
    centroid_hz: float


@dataclass(frozen=True)
class DescriptorRange:
    """Bounding box of descriptors."""

    level_db: tuple[float, float]
    centroid_hz: tuple[float, float]

    def contains(self, descriptors: Descriptors) -> bool:
        """Return whether descriptors lie inside."""
        level, centroid = self.level_db, self.centroid_hz
        return level[0] <= descriptors.level_db <= level[1] and centroid[0] <= descriptors.centroid_hz <= centroid[1]


def descriptors_of(samples: NDArray[np.float32], sample_rate: int) -> Descriptors:
    """Return level and centroid of mono samples [n].

    The centroid is that of the mean magnitude spectrum over windows of 2,048 samples.

    Examples
    --------
    >>> wave = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    >>> found = descriptors_of(wave, 8000)
    >>> round(found.level_db, 1), round(found.centroid_hz, -1)
    (-3.0, 1000.0)
    """
    x = samples.astype(np.float64)
    level = 10 * np.log10(np.mean(np.square(x)) + 1e-12)
    count = max(1, len(x) // N_FFT)
    frames = np.resize(x, count * N_FFT).reshape(count, N_FFT) * hann(N_FFT)
    magnitude = np.abs(np.fft.rfft(frames, axis=1)).mean(0)
    hz = np.fft.rfftfreq(N_FFT, 1 / sample_rate)
    return Descriptors(float(level), float((magnitude * hz).sum() / max(magnitude.sum(), 1e-12)))


def descriptor_range(descriptors: Iterable[Descriptors]) -> DescriptorRange:
    """Return the bounding box of descriptors."""
    found = list(descriptors)
    levels, centroids = [p.level_db for p in found], [p.centroid_hz for p in found]
    return DescriptorRange((min(levels), max(levels)), (min(centroids), max(centroids)))
