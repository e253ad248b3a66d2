"""Structure over time: features of windows of seconds, and drift from the first minute to the last."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.beats import clarity
from noizenet.audio.peaks import pick_peaks
from noizenet.evaluation.features import CHROMA, COLUMN_FRAMES, Features
from noizenet.evaluation.tagger import HOP, RATE_HZ

ONSET_RATE = RATE_HZ / HOP
COLUMN_RATE = ONSET_RATE / COLUMN_FRAMES
WINDOW_S = 12.0
# Key profiles (C. L. Krumhansl and E. J. Kessler, 1982): how well each tone fits a major and a minor key.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

F64 = NDArray[np.float64]


def onset_rate(features: Features) -> F64:
    """Onsets per second in windows of 12 s: peaks of the onset strength that stand out from the half second around."""
    found = []
    for part in _windows(features.onsets, ONSET_RATE):
        peaks = pick_peaks(part, maximum=3, average=16, delta=max(0.03, 0.5 * float(part.std())), wait=4)
        found.append(len(peaks) / WINDOW_S)
    return np.asarray(found, np.float64)


def tempo_clarity(features: Features) -> F64:
    """Periodicity of onsets: the highest autocorrelation of the onset strength at lags of 0.25 to 2 s."""
    return np.asarray([clarity(part, ONSET_RATE) for part in _windows(features.onsets, ONSET_RATE)], np.float64)


def key_clarity(features: Features) -> F64:
    """Fit of the mean chroma of 12 s to its best key: the highest correlation with the 24 key profiles."""
    profiles = np.stack([np.roll(p, shift) for p in (MAJOR, MINOR) for shift in range(CHROMA)])
    profiles = profiles - profiles.mean(1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    found = []
    for part in _windows(features.chroma_mel[:, :CHROMA], COLUMN_RATE):
        mean = part.mean(0) - part.mean()
        found.append((profiles @ mean).max() / (np.linalg.norm(mean) + 1e-9))
    return np.asarray(found, np.float64)


def loudness_range(features: Features) -> F64:
    """Difference of the 95th and 10th percentile of the level of segments of 3 s, in dB; one value a minute."""
    minute = 20
    parts = [features.level[i : i + minute] for i in range(0, len(features.level) - minute + 1, minute)]
    return np.asarray([np.quantile(p, 0.95) - np.quantile(p, 0.1) for p in parts], np.float64)


def centroid(features: Features) -> F64:
    """Spectral centroid of segments of 3 s, in Hz."""
    return features.centroid.astype(np.float64)


def similarity(features: Features, lag_s: float) -> F64:
    """Cosine similarity of chroma and mel between each second and the second `lag_s` later; one value a second."""
    size = round(COLUMN_RATE)
    count, lag = len(features.chroma_mel) // size, round(lag_s * COLUMN_RATE / size)
    if count <= lag:
        return np.zeros(0)
    seconds = features.chroma_mel[: count * size].reshape(count, size, -1).mean(1).astype(np.float64)
    seconds /= np.linalg.norm(seconds, axis=1, keepdims=True) + 1e-9
    cosines: F64 = (seconds[:-lag] * seconds[lag:]).sum(1)
    return cosines


def wasserstein(a: F64, b: F64) -> float:
    """Return the Wasserstein-1 distance of two samples, in their unit."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(a, b)) if len(a) and len(b) else float("nan")


def drift(features: Features) -> tuple[float, float] | None:
    """Return the change of level (dB) and centroid (Hz) from the first minute to the last; None under two minutes."""
    minute = 20
    if len(features.level) < 2 * minute:
        return None
    return tuple(float(x[-minute:].mean() - x[:minute].mean()) for x in (features.level, features.centroid))  # type: ignore[return-value]


def _windows(sequence: NDArray[Any], rate: float) -> list[NDArray[Any]]:
    size = round(WINDOW_S * rate)
    parts = [sequence[i : i + size] for i in range(0, len(sequence) - size + 1, size)]
    return [p for p in parts if np.abs(p).max() > 1e-4]
