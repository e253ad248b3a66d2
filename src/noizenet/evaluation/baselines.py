"""What predictors that learn next to nothing pay for music: the floor that a likelihood has to be seen against.

All of them give exact probabilities of the same classes that a model predicts, so that bits can be compared.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.special import expit

from noizenet.model.features import edges_of

Classes = NDArray[np.int64]
F64 = NDArray[np.float64]


def zeroth_order(train: Classes, rows: Classes, levels: int) -> F64:
    """Return bits per sample of each of the lanes [B, T] under the histogram of training's classes [B', T']."""
    counts = np.bincount(train.ravel(), minlength=levels) + 1.0
    bits = -np.log2(counts / counts.sum())
    return np.asarray(bits[rows[:, 1:]].mean(1))


def persistence(train: Classes, rows: Classes, levels: int) -> F64:
    """Return bits of each of the lanes [B, T] under the histogram of training's class differences.

    Differences that would leave the classes are cut off, and the rest scaled to 1.
    """
    last, following = rows[:, :-1], rows[:, 1:]
    jumps = np.bincount((np.diff(train, axis=1) + levels - 1).ravel(), minlength=2 * levels - 1) + 0.1
    cumulative = np.concatenate([[0.0], np.cumsum(jumps)])
    possible = cumulative[2 * levels - 1 - last] - cumulative[levels - 1 - last]
    return np.asarray(-np.log2(jumps[following - last + levels - 1] / possible).mean(1))


def linear_prediction(
    rows: Classes, values: NDArray[np.floating], order: int = 32, back: int = 1024, hop: int = 64
) -> F64:
    """Return bits of each lane under a logistic distribution around a backward-adaptive linear prediction.

    Taps by the autocorrelation method from the last `back` samples, anew every `hop`; the scale is fitted to the
    prediction's own error over those samples. Nothing is known that a decoder would not know. Counted from sample
    `back` of each lane on.

    Parameters
    ----------
    rows : ndarray
        Classes [B, T]; T is above ``back + hop``.
    values : ndarray
        What each class stands for, rising, [V].
    """
    edges = edges_of(values).astype(np.float64)
    values = values.astype(np.float64)
    window = np.hanning(2 * back)[:back]  # newest samples count most
    bits = np.zeros(len(rows))
    for i, row in enumerate(rows):
        x, total, count = values[row], 0.0, 0
        for at in range(back, len(x) - hop, hop):
            past = x[at - back : at]
            seen = past * window
            r = np.correlate(seen, seen, "full")[back - 1 : back + order]
            r[0] = r[0] * (1 + 1e-5) + 1e-9
            taps = solve_toeplitz(r[:-1], r[1:])
            shifts = np.lib.stride_tricks.sliding_window_view(x[at - back : at + hop - 1], order)[:, ::-1]
            guess = shifts @ taps  # for samples at - back + order …
            true = x[at - back + order : at + hop]
            error = np.abs(true - guess)[: back - order]
            scale = max(float(np.average(error, weights=window[order:])) / (2 * math.log(2)), 1e-5)
            mean, classes = guess[-hop:], row[at : at + hop]
            p = expit((edges[classes + 1] - mean) / scale) - expit((edges[classes] - mean) / scale)
            total -= float(np.log2(0.999 * p + 0.001 / len(values)).sum())
            count += hop
        bits[i] = total / count
    return bits
