"""Peak picking: values of a sequence that stand out from their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pick_peaks(
    x: NDArray[np.floating[Any]], *, maximum: int, average: int, delta: float, wait: int
) -> NDArray[np.int64]:
    """Return the indices of a sequence's peaks.

    A value is a peak if it is the maximum of its neighbours, exceeds their mean by `delta`, and comes more than `wait`
    values after the previous peak. Source: S. Böck, F. Krebs, M. Schedl, "Evaluating the online capabilities of onset
    detection methods", ISMIR 2012. The result equals ``librosa.util.peak_pick`` with equal windows on both sides, which
    is not used because numba compiles it again in every new installation.

    Parameters
    ----------
    x : ndarray [n]
    maximum, average : int
        Windows of the maximum and of the mean: from `maximum` values before to `maximum` - 1 after; at least 1.
    delta : float
        In the unit of `x`.
    wait : int
        Number of values; at least 0.

    Returns
    -------
    ndarray, int64 [peaks]
        Ascending.

    Examples
    --------
    >>> pick_peaks(np.array([0, 0, 5, 0, 0, 0, 3, 0.0]), maximum=2, average=2, delta=1, wait=1).tolist()
    [2, 6]
    """
    from scipy.ndimage import maximum_filter1d

    values = np.asarray(x, np.float64)
    if not len(values):
        return np.zeros(0, np.int64)
    # Hours of audio have millions of values: only candidates are examined closely.
    candidate = values >= values.min() + delta - 1e-9 * np.abs(values).max()
    candidate &= values == maximum_filter1d(values, 2 * maximum, mode="constant", cval=-np.inf)
    indices = np.flatnonzero(candidate)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first, last = np.maximum(indices - average, 0), np.minimum(indices + average, len(values))
    mean = (sums[last] - sums[first]) / (last - first)
    # The tolerance covers the rounding of running sums: silence must not exceed its own mean.
    is_peak = values[indices] >= mean + delta - 1e-9 * np.abs(mean)
    found: list[int] = []
    for index in indices[is_peak].tolist():
        if not found or index - found[-1] > wait:
            found.append(index)
    return np.asarray(found, np.int64)
