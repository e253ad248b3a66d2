"""Whether recordings sound like speech: nobody should wait ten minutes to hear that music was not learned from a talk.

Speech comes in syllables, three to eight a second, deeply cut by pauses and consonants, and no pitch lasts; music's
envelopes are flatter and its partials stay (E. Scheirer and M. Slaney, "Construction and evaluation of a robust
multifeature speech/music discriminator", ICASSP 1997, of whose thirteen features these are relatives of three).
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

RATE_HZ, STRETCH_S, HOP, WINDOW = 8_000, 3.0, 80, 256
BANDS = np.geomspace(120, 3600, 19)
SYLLABLES_HZ, ENVELOPE_HZ = (2.5, 8.0), (0.3, 25.0)
LATER = 20
"""Frames (0.2 s) after which a spectrum is compared with itself."""
SILENT_RMS = 1e-3
WEIGHTS, BIAS = (14.3, 9.1, -9.7), -9.5
"""Logistic regression of the three features; ``examples/speech.py`` finds them."""
STRETCHES = 40


def features(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return three numbers of a stretch of mono samples at 8 kHz.

    Share of the envelopes' movement at the rate of syllables; depth of that movement, relative to the level; likeness
    of the spectrum's fine structure to that 0.2 s later.
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
    now, later = fine[:, :-LATER], fine[:, LATER:]
    heard = (loudness[:-LATER] > 0.3 * loudness.mean()) & (loudness[LATER:] > 0.3 * loudness.mean())
    likeness = (now * later).sum(0) / np.sqrt((now**2).sum(0) * (later**2).sum(0) + 1e-9)
    return np.array([share, depth, float(np.median(likeness[heard])) if heard.any() else 0.0])


def sounds_like_speech(samples: NDArray[np.float32]) -> bool | None:
    """Return whether a stretch of mono samples at 8 kHz sounds like speech; None where it is silent."""
    if np.sqrt(np.mean(np.square(samples))) < SILENT_RMS:
        return None
    return bool(features(samples) @ np.asarray(WEIGHTS) + BIAS > 0)


def speech_in(corpus: Corpus, tracks: Sequence[Track]) -> tuple[int, int]:
    """Return in how many of some stretches of 3 s, spread evenly over the tracks, there is speech, and of how many."""
    count = round(STRETCH_S * corpus.sample_rate)
    long, found = [t for t in tracks if t.frames >= count], list[bool]()
    for track, start in excerpt_starts(long, STRETCHES if long else 0, STRETCH_S):
        samples = corpus.mono(track, round(start * corpus.sample_rate), count)
        verdict = sounds_like_speech(at_8_khz(samples, corpus.sample_rate))
        if verdict is not None:
            found.append(verdict)
    return sum(found), len(found)


def at_8_khz(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return mono samples at 8 kHz."""
    return resample(samples[:, None], rate, RATE_HZ)[:, 0]
