"""Lesson 11. Digital sound: from pressure to numbers.

Sound is pressure that rises and falls. A microphone turns pressure into voltage, a converter measures the voltage f_s
times a second (the **sample rate**) and writes down a whole number each time. The draft's word for it is right: music
is a time series.

**Sampling.** A tone of f hertz has to be measured more than twice in each swing: only tones below f_s / 2 (the
Nyquist frequency) can be told apart. A tone above it comes out as another one below, its **alias**: of f and f_s - f
the samples are the same. So what is too high is filtered off before sampling.

**Quantisation.** A number of B bits has 2^B values; the rest is rounded off, which sounds like noise. Each bit more
halves the rounding and lowers the noise by 6.02 dB; of a full-scale sine, 16 bits leave a signal 98 dB above it (6.02
· 16 + 1.76).

**Mu-law** (ITU-T G.711) spaces the values unevenly: close together where sound is soft, where the ear hears errors
and where samples mostly are, far apart where it is loud::

    y = sign(x) log(1 + μ |x|) / log(1 + μ),      μ = 255

Eight bits of y then sound like twelve or so of x: a network that chooses among 256 classes writes tolerable sound.

**MP3** and its kin go further: they cut sound into spectra, and leave out what the ear would not hear beside what is
louder. What comes back is not the same numbers, only (nearly) the same sound. A library undoes it before any of this
course begins.

**Three views.** The *sample view* draws the numbers over time: good for seeing that something is wrong. The
*envelope* draws how loud it is over time; of a single note musicians name its parts **attack** (how fast it rises),
**decay** (falls back from the peak to), **sustain** (the level that is held) and **release** (how fast it dies):
ADSR. The *spectrogram* draws how loud each frequency is over time, by taking short windows and asking each which
sines it is made of (Fourier): the view in which melodies can be read. On a linear axis the harmonics of a tone are
equally far apart; on a logarithmic one, octaves are.
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
    """Return the frequency, at most half the rate, that a tone is heard as after sampling.

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
    """Return how far the signal lies above what rounding changed, in dB."""
    return float(10 * np.log10(np.square(x).mean() / max(np.square(x - kept).mean(), 1e-30)))


def mu_law(x: ArrayLike) -> F64:
    """Return the compressed value, in [-1, 1], of samples in [-1, 1]."""
    samples = np.asarray(x, np.float64)
    return np.asarray(np.sign(samples) * np.log1p(MU * np.abs(samples)) / math.log1p(MU))


def mu_law_inverse(y: ArrayLike) -> F64:
    """Return the samples back.

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
    """Return the envelope [N] of a note that is held for `held` seconds (attack and decay included) and then let go.

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
