"""Phrase tracking: the position of each beat in a phrase of sixteen beats, four bars of four."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.beats import HOP_S, MIN_BEATS
from noizenet.audio.dsp import hann, magnitude_spectra

PHRASE = 16
"""Beats per phrase."""
ACCENTS = {0: 1.0, 4: 0.7, 8: 0.8, 12: 0.7}
"""Expected accent of the first beat of each bar."""
JUMP = 6.0
"""Cost of a transition to any other position than the next beat of the phrase."""
WEIGHTS, CLIPPED = (1.0, 0.6, 0.4), (-2.0, 3.0)
"""Weights of bass onsets, harmony changes and timbre changes, each standardised and clipped to these bounds."""
BASS_HZ, HARMONY_HZ, TIMBRE_HZ, BANDS = (30.0, 150.0), (60.0, 2000.0), (60.0, 8000.0), 40
NEAR_S = (-0.05, 0.1)
"""An onset within this range around a beat belongs to it."""
GAIN = 100.0
"""Gain of magnitudes before the logarithm; a full-scale sine has magnitude 1."""
CHUNK = 1024

F64 = NDArray[np.float64]


def find_phrases(samples: NDArray[np.float32], sample_rate: int, times: F64) -> NDArray[np.int64]:
    """Assign numbers to beats so that a phrase begins at each multiple of 16.

    A Viterbi search over the 16 positions of a phrase. The accent of a beat combines the bass onset at the beat with
    the change of harmony and timbre from the previous beat; accents are expected where bars and phrases begin
    (:data:`ACCENTS`). Source: M. Goto, "An audio-based real-time beat tracking system for music with or without
    drum-sounds", J. New Music Research, 2001, who detects chord changes and drums at the start of a bar.

    Parameters
    ----------
    samples : ndarray, float32 [n]
        Mono.
    sample_rate : int
    times : ndarray [m]
        Times of the beats, ascending, in seconds.

    Returns
    -------
    ndarray, int64 [m]
        Increases by 1 from beat to beat, and by up to 16 where a phrase restarts.
    """
    if len(times) < MIN_BEATS:
        return np.arange(len(times))
    return count_beats(accents(samples, sample_rate, times))


def count_beats(strengths: F64) -> NDArray[np.int64]:
    """Return the most probable numbers of beats with these accents, [m]; see :func:`find_phrases`."""
    weights = np.zeros(PHRASE)
    weights[list(ACCENTS)] = list(ACCENTS.values())
    weights -= weights.mean()
    come_from = np.zeros((len(strengths), PHRASE), np.int64)
    score = strengths[0] * weights
    for i, strength in enumerate(strengths[1:], 1):
        best = int(score.argmax())
        advanced = np.roll(score, 1)
        jumps = score[best] - JUMP > advanced
        come_from[i] = np.where(jumps, best, (np.arange(PHRASE) - 1) % PHRASE)
        score = np.where(jumps, score[best] - JUMP, advanced) + strength * weights
    positions = np.empty(len(strengths), np.int64)
    positions[-1] = score.argmax()
    for i in range(len(strengths) - 1, 0, -1):
        positions[i - 1] = come_from[i, positions[i]]
    steps = (np.diff(positions) - 1) % PHRASE + 1
    return np.cumsum(np.concatenate([positions[:1], steps]))


def accents(samples: NDArray[np.float32], sample_rate: int, times: F64) -> F64:
    """Return the accent of each beat, [m]; parameters as for :func:`find_phrases`."""
    hop = max(1, round(HOP_S * sample_rate))
    size = 2 ** round(np.log2(4 * hop))
    bass, chroma, timbre = _features(np.asarray(samples, np.float32), sample_rate, hop, size)
    rate, count = sample_rate / hop, len(bass)
    first, last = (np.clip(np.round((times + s) * rate).astype(int), 0, count - 1) for s in NEAR_S)
    reach = int(np.max(last - first)) + 1
    onsets = np.max([bass[np.minimum(first + i, last)] for i in range(reach)], 0)
    edges = np.clip(np.round(times * rate).astype(int), 0, count - 1)
    ends = np.maximum(np.append(edges[1:], min(count, edges[-1] + round(rate))), edges + 1)
    chroma, timbre = (_means(x, edges, ends) for x in (chroma, timbre))
    chroma /= np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-9)
    harmony_change = 1 - (chroma[1:] * chroma[:-1]).sum(1)
    timbre_change = np.linalg.norm(np.diff(timbre, axis=0), axis=1)
    # The first beat has no predecessor: its changes are the mean of all changes.
    parts = onsets, np.append(harmony_change.mean(), harmony_change), np.append(timbre_change.mean(), timbre_change)
    return np.asarray(sum(w * _standard(x) for w, x in zip(WEIGHTS, parts, strict=True)), np.float64)


def _features(samples: NDArray[np.float32], sample_rate: int, hop: int, size: int) -> tuple[F64, F64, F64]:
    """Return bass onsets [t], chroma [t, 12] and logarithmic bands [t, 40] of spectra centred a hop apart."""
    padded = np.pad(samples, size // 2)
    spectra = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    hz = np.asarray(np.fft.rfftfreq(size, 1 / sample_rate), np.float64)
    low = (hz >= BASS_HZ[0]) & (hz <= BASS_HZ[1])
    tones, bands = _chroma_of(hz), _bands_of(hz)
    window, before, parts = hann(size), np.zeros((1, int(low.sum()))), []
    for i in range(0, len(spectra), CHUNK):
        magnitudes = magnitude_spectra(spectra[i : i + CHUNK], window).astype(np.float64)
        bass = np.log1p(GAIN * magnitudes[:, low])
        rise = np.maximum(np.diff(np.concatenate([before, bass]), axis=0), 0).sum(1)
        parts.append((rise, np.sqrt(magnitudes) @ tones, np.log1p(GAIN * (magnitudes @ bands))))
        before = bass[-1:]
    onsets, chroma, timbre = (np.concatenate(x) for x in zip(*parts, strict=True))
    return onsets, chroma, timbre


def _chroma_of(hz: F64) -> F64:
    """Return the pitch class of each bin as one-hot rows, [bins, 12]."""
    in_range = (hz >= HARMONY_HZ[0]) & (hz <= HARMONY_HZ[1])
    tone = np.round(12 * np.log2(np.maximum(hz, 1.0) / 440)).astype(int) % 12
    return np.asarray((tone[:, None] == np.arange(12)) * in_range[:, None], np.float64)


def _bands_of(hz: F64) -> F64:
    """Return triangular mel bands, [bins, 40], each with sum 1; a band without a bin is zero."""
    mel = 2595 * np.log10(1 + hz / 700)
    low, high = (2595 * np.log10(1 + f / 700) for f in (TIMBRE_HZ[0], min(TIMBRE_HZ[1], hz[-1])))
    middles = np.linspace(low, high, BANDS + 2)
    rise = (mel[:, None] - middles[:-2]) / (middles[1] - middles[0])
    bands = np.maximum(0, np.minimum(rise, 2 - rise))
    return np.asarray(bands / np.maximum(bands.sum(0), 1e-9), np.float64)


def _means(x: F64, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> F64:
    """Return the mean of the rows of x between each start and end."""
    sums = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, 0)])
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts)[:, None], np.float64)


def _standard(x: F64) -> F64:
    """Return x standardised and clipped."""
    return np.asarray(np.clip((x - x.mean()) / (x.std() + 1e-9), *CLIPPED), np.float64)
