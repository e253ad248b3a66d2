"""Synthesis of the top octave: bands of noise whose levels are interpolated from spectrum to spectrum."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noizenet.representation.codec_weights import F32
from noizenet.representation.highband import BANDS, EDGES_HZ, LEVEL_OF_POWER, SAMPLE_RATE

LOOPS = (189, 200, 221, 253)
"""Length of each band's noise loop in hops (2.2 to 2.9 s at 11.6 ms): without a common divisor, so that all four
together repeat only after weeks.
"""
CROSSOVER_HZ, CROSSOVER_HALF_HZ = 10_400, 250
"""Crossover to the noise, and half its width: audio resampled to 22,050 Hz is 1 dB down here and 9 dB at 10.6 kHz, and
a codec loses a little more."""
HALF_HZ = 200
"""Half the width of the crossover between bands."""
TILT_DB = (-1.5, -1.9, -2.6, -5.6)
"""Slope of each band's spectrum per kHz: the mean of 47 recordings of music in Debian packages."""
INAUDIBLE_DB = -72.0
"""Power that is subtracted from each band (-77 dBFS): no noise is added below it, and its onset above is gradual."""
MIN_GAIN = 1e-5
"""Gain at which an interpolation from silence starts (-100 dBFS); it is subtracted afterwards."""


class NoiseBands:
    """Levels in, noise in two independent channels out, hop by hop: the output does not depend on the chunk size.

    Levels are interpolated linearly in dB: measured again, they scatter a quarter less than with linear interpolation
    of amplitudes.

    Parameters
    ----------
    hop : int
        Samples from spectrum to spectrum; spectrum i is centred on sample i × hop.
    """

    def __init__(self, hop: int) -> None:
        self._hop = hop
        self._logs = np.zeros((0, BANDS), np.float32)  # log gains from spectrum `_at` on
        self._at = 0  # hops rendered

    def push_levels(self, levels_db: F32) -> None:
        """Add the levels in dB [n, BANDS] of the next spectra (`highband.levels`)."""
        power = np.power(10, levels_db / 10) - 10 ** (INAUDIBLE_DB / 10)
        gains = np.sqrt(np.maximum(power, 0) / LEVEL_OF_POWER)
        self._logs = np.concatenate([self._logs, np.log(np.maximum(gains, MIN_GAIN)).astype(np.float32)])

    def render(self, hops: int) -> F32:
        """Return the next samples [hops · hop, 2]; after the last spectrum its levels are held."""
        out = np.zeros((hops, 2, self._hop), np.float32)
        if not len(self._logs) or not hops:
            return _joined(out)
        numbers = np.arange(hops + 1)
        logs = self._logs[np.minimum(numbers, len(self._logs) - 1)]
        moves = np.diff(logs, axis=0)
        ramp = np.arange(self._hop, dtype=np.float32) / np.float32(self._hop)
        for b, loop in enumerate(noise(self._hop)):
            gains = np.exp(logs[:-1, b, None] + moves[:, b, None] * ramp) - np.float32(MIN_GAIN)
            out += gains[:, None] * loop[(self._at + numbers[:-1]) % len(loop)]
        self._at += hops
        self._logs = self._logs[min(hops, len(self._logs) - 1) :]
        return _joined(out)


def _joined(hops: F32) -> F32:
    return hops.transpose(0, 2, 1).reshape(-1, 2)


@lru_cache(maxsize=2)
def noise(hop: int) -> list[F32]:
    """Return each band's noise loop [hops, 2, hop], of unit power between its edges."""
    return [_band(b, count * hop).reshape(2, count, hop).transpose(1, 0, 2).copy() for b, count in enumerate(LOOPS)]


def _band(band: int, count: int) -> F32:
    """Return two channels of `count` samples of noise in one band, [2, count]."""
    hz = np.arange(count // 2 + 1) * SAMPLE_RATE / count
    low, high = EDGES_HZ[1 + band : 3 + band]
    rise = _rise(hz, low, HALF_HZ) if band else _rise(hz, CROSSOVER_HZ, CROSSOVER_HALF_HZ)
    shape = rise * _rise(-hz, -high, HALF_HZ) * np.power(10, TILT_DB[band] * (hz - low) / 20_000)
    parts = np.random.default_rng([0, band]).standard_normal((2, 2, len(hz)), np.float32)
    spectrum = (parts[0] + 1j * parts[1]) * shape
    power = 2 * np.square(np.abs(spectrum[:, (hz >= low) & (hz < high)])).sum(1, keepdims=True) / count**2
    return np.asarray(fft.irfft(spectrum / np.sqrt(power), count, axis=-1), np.float32)


def _rise(hz: NDArray[np.float64], at: float, half: float) -> NDArray[np.float64]:
    """Return a gain that rises from 0 to 1 around `at`, such that its square and that of its mirror image sum to 1."""
    return np.sin(np.clip((hz - at) / half + 1, 0, 2) * math.pi / 4)
