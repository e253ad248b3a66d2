"""Speech detector: warns before a training on recordings of talk.

Speech has three to eight syllables a second, separated by pauses and consonants, and no steady pitch; music has flatter
envelopes and steady partials. The three features are related to three of the thirteen of E. Scheirer and M. Slaney,
"Construction and evaluation of a robust multifeature speech/music discriminator", ICASSP 1997.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from noizenet.audio.resample import resample
from noizenet.corpus.corpus import Corpus, Track
from noizenet.corpus.excerpts import excerpt_starts

RATE_HZ, EXCERPT_S, HOP, WINDOW = 8_000, 3.0, 80, 256
BANDS = np.geomspace(120, 3600, 19)
SYLLABLES_HZ, ENVELOPE_HZ = (2.5, 8.0), (0.3, 25.0)
LAG = 20
"""Frames (0.2 s) between two spectra that are compared."""
SILENT_RMS = 1e-3
WEIGHTS, BIAS = (14.3, 9.1, -9.7), -9.5
"""Logistic regression on the three features; fitted by ``examples/speech.py``."""
EXCERPTS = 40


def features(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the three features of an excerpt of mono samples at 8 kHz.

    They are the share of the envelopes' modulation at syllable rates, the depth of the modulation relative to the
    level, and the correlation of the spectrum's fine structure with that 0.2 s later.
    """
    frequencies, _, z = signal.stft(
        samples, RATE_HZ, nperseg=WINDOW, noverlap=WINDOW - HOP, boundary=None, padded=False
    )
    power = np.abs(z) ** 2
    inside = [(frequencies >= low) & (frequencies < high) for low, high in itertools.pairwise(BANDS)]
    envelopes = np.sqrt(np.stack([power[rows].sum(0) for rows in inside if rows.any()]))
    level = envelopes.mean(1)
    movement = np.abs(np.fft.rfft(envelopes - level[:, None], axis=1)) ** 2
    rates = np.fft.rfftfreq(envelopes.shape[1], HOP / RATE_HZ)
    syllables, whole = (
        movement[:, (rates >= low) & (rates <= high)].sum(1) for low, high in (SYLLABLES_HZ, ENVELOPE_HZ)
    )
    weight = level / max(level.sum(), 1e-12)
    share = float((weight * syllables / (whole + 1e-12)).sum())
    depth = float((weight * envelopes.std(1) / (level + 1e-9)).sum())
    log = np.log(power + 1e-8 * power.max() + 1e-20)
    fine = log - signal.fftconvolve(log, np.full((9, 1), 1 / 9), mode="same")
    loudness = np.sqrt(power.sum(0))
    now, later = fine[:, :-LAG], fine[:, LAG:]
    audible = (loudness[:-LAG] > 0.3 * loudness.mean()) & (loudness[LAG:] > 0.3 * loudness.mean())
    likeness = (now * later).sum(0) / np.sqrt((now**2).sum(0) * (later**2).sum(0) + 1e-9)
    return np.array([share, depth, float(np.median(likeness[audible])) if audible.any() else 0.0])


def sounds_like_speech(samples: NDArray[np.float32]) -> bool | None:
    """Return whether an excerpt of mono samples at 8 kHz sounds like speech; None if it is silent."""
    if np.sqrt(np.mean(np.square(samples))) < SILENT_RMS:
        return None
    return bool(features(samples) @ np.asarray(WEIGHTS) + BIAS > 0)


def count_speech(corpus: Corpus, tracks: Sequence[Track]) -> tuple[int, int]:
    """Return how many of some evenly spaced excerpts of 3 s sound like speech, and the number of excerpts."""
    count = round(EXCERPT_S * corpus.sample_rate)
    long, results = [t for t in tracks if t.frames >= count], list[bool]()
    for track, start in excerpt_starts(long, EXCERPTS if long else 0, EXCERPT_S):
        samples = corpus.mono(track, round(start * corpus.sample_rate), count)
        is_speech = sounds_like_speech(to_8_khz(samples, corpus.sample_rate))
        if is_speech is not None:
            results.append(is_speech)
    return sum(results), len(results)


def to_8_khz(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return mono samples at 8 kHz."""
    return resample(samples[:, None], rate, RATE_HZ)[:, 0]
