"""Lesson 11. Digital sound: from pressure to numbers.

Sound is pressure that rises and falls. A microphone converts pressure to voltage; a converter measures the voltage f_s
times a second (the **sample rate**) and stores an integer each time. As the draft says, music is a time series.

**Sampling.** A tone of f hertz must be measured more than twice in each period: only tones below f_s / 2 (the Nyquist
frequency) can be distinguished. A tone above it appears as another one below, its **alias**: the samples of f and f_s -
f are the same. A low-pass filter therefore removes higher frequencies before sampling.

**Quantisation.** A number of B bits has 2^B values; rounding to them sounds like noise. Each further bit halves the
rounding error and lowers the noise by 6.02 dB; for a full-scale sine, 16 bits give a signal-to-noise ratio of 98 dB
(6.02 · 16 + 1.76).

**Mu-law** (ITU-T G.711) spaces the values unevenly (companding): closely for small amplitudes, where errors are audible
and most samples lie, and widely for large ones::

    y = sign(x) log(1 + μ |x|) / log(1 + μ),      μ = 255

Eight bits of y then sound like about twelve of x: a network that chooses among 256 classes gives tolerable sound.

**MP3** and similar lossy codecs go further: they compute spectra, and drop what a louder component masks. The decoded
samples are not the same numbers, only (nearly) the same sound. A library decodes them before this course begins.

**Three views.** The *sample view* (waveform) draws the samples over time: good for seeing that something is wrong. The
*envelope* draws the level over time; the parts of a single note's envelope are **attack** (the rise), **decay** (from
the peak down to the sustain), **sustain** (the level that is held) and **release** (the fade at the end): ADSR. The
*spectrogram* draws the level of each frequency over time, from the Fourier transform of short windows: the view in
which melodies can be read. On a linear axis the harmonics of a tone have equal distances; on a logarithmic one, octaves
have.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
MU = 255


def sine(hertz: float, seconds: float, rate: int, phase: float = 0.0) -> F64:
    """Return a full-scale sine [N]."""
    return np.sin(2 * math.pi * hertz * np.arange(round(seconds * rate)) / rate + phase)


def alias(hertz: float, rate: int) -> float:
    """Return the frequency, at most half the rate, of a tone after sampling.

    Examples
    --------
    >>> alias(440, 8000), alias(7560, 8000), alias(8440, 8000)
    (440, 440, 440)
    """
    folded = hertz % rate
    return min(folded, rate - folded)


def quantise(x: ArrayLike, bits: int) -> F64:
    """Return samples in [-1, 1] rounded to 2^bits evenly spaced values."""
    levels = 2 ** (bits - 1)
    return np.asarray(np.clip(np.round(np.asarray(x) * levels), -levels, levels - 1) / levels)


def noise_db(x: F64, kept: F64) -> float:
    """Return the signal-to-noise ratio of quantised samples in dB."""
    return float(10 * np.log10(np.square(x).mean() / max(np.square(x - kept).mean(), 1e-30)))


def mu_law(x: ArrayLike) -> F64:
    """Return the compressed value, in [-1, 1], of samples in [-1, 1]."""
    samples = np.asarray(x, np.float64)
    return np.asarray(np.sign(samples) * np.log1p(MU * np.abs(samples)) / math.log1p(MU))


def mu_law_inverse(y: ArrayLike) -> F64:
    """Return the samples of compressed values.

    Examples
    --------
    >>> float(mu_law_inverse(mu_law(0.123)).round(12))
    0.123
    """
    values = np.asarray(y, np.float64)
    return np.sign(values) * np.expm1(np.abs(values) * math.log1p(MU)) / MU


def classes(x: ArrayLike) -> NDArray[np.int64]:
    """Return the mu-law class, 0 … 255, of samples in [-1, 1]."""
    return np.clip(np.round((mu_law(x) + 1) * MU / 2), 0, MU).astype(np.int64)


def adsr(rate: int, attack: float, decay: float, sustain: float, release: float, held: float) -> F64:
    """Return the envelope [N] of a note held for `held` seconds (including attack and decay) before its release.

    Times in seconds, the sustain level from 0 to 1.
    """
    a, d, r = (round(s * rate) for s in (attack, decay, release))
    rest = max(0, round(held * rate) - a - d)
    rise, fall = np.linspace(0, 1, a, endpoint=False), np.linspace(1, sustain, d, endpoint=False)
    return np.concatenate([rise, fall, np.full(rest, sustain), np.linspace(sustain, 0, r)])


def envelope(x: F64, rate: int, window: float = 0.02) -> F64:
    """Return the root mean square around each sample [N], over `window` seconds."""
    n = max(1, round(window * rate))
    return np.asarray(np.sqrt(np.convolve(np.square(x), np.ones(n) / n, "same").clip(min=0)))


def spectrogram(x: F64, size: int = 1024, hop: int = 256) -> F64:
    """Return magnitudes [T, size // 2 + 1] of Hann windows; a full-scale sine in the middle of a bin has 1."""
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(size) / size)
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[::hop]
    return np.asarray(np.abs(np.fft.rfft(frames * window, axis=-1)) * 2 / window.sum())


def frequencies(rate: int, size: int = 1024) -> F64:
    """Return the frequency of each bin in hertz."""
    return np.arange(size // 2 + 1) * rate / size
