"""Beat tracking: beat times, and the beat phases that condition a network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HOP_S, WINDOW_S, LAGS_S = 0.023, 12.0, (0.25, 2.0)
MIN_CLARITY = 0.2
"""A window has a beat where the autocorrelation of its onset strength exceeds this."""
MIN_BEATS = 5
"""A recording with fewer beats counts as one without a beat."""

F64 = NDArray[np.float64]


class Beats(NamedTuple):
    """Beats of a recording.

    `times` [n] are in seconds. `clear` [m] is True for each window of :data:`WINDOW_S` in which onsets repeat; a window
    starts half a window after the previous one.
    """

    times: F64
    clear: NDArray[np.bool_]

    def phases(self, times: F64) -> F64:
        """Return the beat phase at each time, in [0, 1); NaN where no beat is clear."""
        return np.asarray(self._beat_positions(times) % 1.0, np.float64)

    def positions(self, times: F64, numbers: NDArray[np.int64]) -> F64:
        """Return the position in beats at each time, given the beats' `numbers` [n]; NaN where no beat is clear."""
        positions = self._beat_positions(times)
        known = ~np.isnan(positions)
        before = positions[known].astype(int)
        positions[known] = numbers[before] + positions[known] % 1.0
        return positions

    def _beat_positions(self, times: F64) -> F64:
        """Return the fractional beat index at each time; NaN where no beat is clear."""
        if len(self.times) < MIN_BEATS or not len(self.clear):
            return np.full(len(times), np.nan)
        positions = np.interp(times, self.times, np.arange(len(self.times)), left=np.nan, right=np.nan)
        window = np.clip((times / (WINDOW_S / 2)).astype(int), 0, len(self.clear))
        padded = np.concatenate([self.clear[:1], self.clear, self.clear[-1:]])
        is_clear = padded[window] | padded[window + 1]  # the two windows that contain a time
        return np.where(is_clear, positions, np.nan)

    @property
    def tempo(self) -> float:
        """Tempo in beats per minute; 0 where a beat is clear in less than half of the recording."""
        if len(self.times) < MIN_BEATS or not len(self.clear) or self.clear.mean() < 0.5:
            return 0.0
        apart = np.diff(self.times)
        usual = np.abs(apart / np.median(apart) - 1) < 0.2
        return float(60 / apart[usual].mean())


def beat_phase_ids(phases: NDArray[np.floating], clock: int) -> NDArray[np.int64]:
    """Return the beat-phase ids of frames, the input of a phase embedding.

    Parameters
    ----------
    phases : ndarray
        Beat phase of each frame, in [0, 1); NaN where no beat is clear.
    clock : int
        Number of phases per beat.

    Returns
    -------
    ndarray
        1 to `clock`; 0 where the phase is unknown.
    """
    beat_phase = np.where(np.isnan(phases), 0, 1 + np.floor(np.nan_to_num(phases) * clock)).astype(np.int64)
    return np.minimum(beat_phase, clock)


def phrase_beat_ids(positions: NDArray[np.floating], phrase: int) -> NDArray[np.int64]:
    """Return the beat of the phrase, 1 to `phrase`, for positions in beats; 0 for NaN."""
    positions = np.where(np.isnan(positions), 0, 1 + np.floor(np.nan_to_num(positions)) % phrase)
    return positions.astype(np.int64)


def find_beats(samples: NDArray[np.float32], sample_rate: int) -> Beats:
    """Find beats by dynamic programming over the onset strength.

    Source: D. P. W. Ellis, "Beat tracking by dynamic programming", J. New Music Research, 2007; librosa's
    implementation.

    Parameters
    ----------
    samples : ndarray, float32 [n]
        Mono.
    sample_rate : int

    Returns
    -------
    Beats
        No beats for audio that is silent or shorter than two seconds.
    """
    from noizenet.kernels.cache import load_beat_tracker, load_librosa

    hop = max(1, round(HOP_S * sample_rate))
    if len(samples) < 2 * sample_rate or not np.abs(samples).max(initial=0.0) > 0:
        return Beats(np.zeros(0), np.zeros(0, bool))
    size = 2 ** round(np.log2(4 * hop))
    onsets = load_librosa().onset.onset_strength(y=samples, sr=sample_rate, hop_length=hop, n_fft=size)
    rate = sample_rate / hop
    _, times = load_beat_tracker().beat_track(onset_envelope=onsets, sr=sample_rate, hop_length=hop, units="time")
    window, step = round(WINDOW_S * rate), round(WINDOW_S * rate / 2)
    starts = range(0, max(1, len(onsets) - window + step), step)
    clear = [clarity(onsets[i : i + window], rate) > MIN_CLARITY for i in starts]
    return Beats(np.asarray(times, np.float64), np.asarray(clear, bool))


def clarity(onsets: NDArray[np.floating], rate: float) -> float:
    """Return the highest autocorrelation of an onset strength at the lags of :data:`LAGS_S`.

    Parameters
    ----------
    onsets : ndarray [n]
    rate : float
        Values per second.

    Returns
    -------
    float
        At most about 1; 0 for too few values.
    """
    x = np.asarray(onsets, np.float64) - np.mean(onsets)
    low, high = (round(s * rate) for s in LAGS_S)
    if len(x) <= 2 * low:
        return 0.0
    lags = np.fft.irfft(np.square(np.abs(np.fft.rfft(x, 2 * len(x)))))[: len(x)]
    normal = lags / (len(x) - np.arange(len(x))) / (lags[0] / len(x) + 1e-12)
    return float(normal[low : min(high, len(x) * 3 // 4)].max(initial=0.0))
