"""Simple predictors as baselines of a model's likelihood.

All give exact probabilities of the same classes that a model predicts, so that bits can be compared.
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
    """Return bits per sample of each row of [B, T] under the histogram of the training classes [B', T']."""
    counts = np.bincount(train.ravel(), minlength=levels) + 1.0
    bits = -np.log2(counts / counts.sum())
    return np.asarray(bits[rows[:, 1:]].mean(1))


def persistence(train: Classes, rows: Classes, levels: int) -> F64:
    """Return bits per sample of each row of [B, T] under the histogram of the training class differences.

    Differences to classes that do not exist have probability 0, and the rest sum to 1.
    """
    last, following = rows[:, :-1], rows[:, 1:]
    difference_counts = np.bincount((np.diff(train, axis=1) + levels - 1).ravel(), minlength=2 * levels - 1) + 0.1
    cumulative = np.concatenate([[0.0], np.cumsum(difference_counts)])
    possible = cumulative[2 * levels - 1 - last] - cumulative[levels - 1 - last]
    return np.asarray(-np.log2(difference_counts[following - last + levels - 1] / possible).mean(1))


def linear_prediction(
    rows: Classes, values: NDArray[np.floating], order: int = 32, context: int = 1024, hop: int = 64
) -> F64:
    """Return bits per sample of each row under a logistic distribution around a backward-adaptive linear prediction.

    Every `hop` samples, the taps are computed from the last `context` samples by the autocorrelation method, and the
    scale is fitted to the prediction error over those samples. Only past samples are used. Bits are counted from sample
    `context` of each row on.

    Parameters
    ----------
    rows : ndarray
        Classes [B, T]; T is above ``context + hop``.
    values : ndarray
        Sample value of each class, ascending, [V].
    order : int
        Number of taps.
    context, hop : int
        Samples that a prediction is fitted to, and samples between fits.
    """
    edges = edges_of(values).astype(np.float64)
    values = values.astype(np.float64)
    window = np.hanning(2 * context)[:context]  # the newest samples weigh most
    bits = np.zeros(len(rows))
    for i, row in enumerate(rows):
        x, total, count = values[row], 0.0, 0
        for at in range(context, len(x) - hop, hop):
            past = x[at - context : at]
            windowed = past * window
            r = np.correlate(windowed, windowed, "full")[context - 1 : context + order]
            r[0] = r[0] * (1 + 1e-5) + 1e-9
            taps = solve_toeplitz(r[:-1], r[1:])
            shifts = np.lib.stride_tricks.sliding_window_view(x[at - context : at + hop - 1], order)[:, ::-1]
            predicted = shifts @ taps  # for samples at - context + order …
            true = x[at - context + order : at + hop]
            error = np.abs(true - predicted)[: context - order]
            scale = max(float(np.average(error, weights=window[order:])) / (2 * math.log(2)), 1e-5)
            mean, classes = predicted[-hop:], row[at : at + hop]
            p = expit((edges[classes + 1] - mean) / scale) - expit((edges[classes] - mean) / scale)
            total -= float(np.log2(0.999 * p + 0.001 / len(values)).sum())
            count += hop
        bits[i] = total / count
    return bits
