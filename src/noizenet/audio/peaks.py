"""Peaks of a sequence that stand out from what lies around them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pick_peaks(
    x: NDArray[np.floating[Any]], *, maximum: int, average: int, delta: float, wait: int
) -> NDArray[np.int64]:
    """Return where a sequence has peaks.

    A value is a peak where it is the greatest of those around it, exceeds their mean by `delta`, and lies more than
    `wait` values after the peak before. After S. Böck, F. Krebs, M. Schedl, "Evaluating the online capabilities of
    onset detection methods", ISMIR 2012. It finds what ``librosa.util.peak_pick`` does with equal windows on both
    sides; that is not used here, because numba compiles it anew in every fresh installation.

    Parameters
    ----------
    x : ndarray [n]
    maximum, average : int
        The windows of the greatest and of the mean: from `maximum` values before to `maximum` - 1 after; at least 1.
    delta : float
        In the unit of `x`.
    wait : int
        In values; at least 0.

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
    # Of hours there are millions of values: only those that can stand out at all are looked at closely.
    likely = values >= values.min() + delta - 1e-9 * np.abs(values).max()
    likely &= values == maximum_filter1d(values, 2 * maximum, mode="constant", cval=-np.inf)
    places = np.flatnonzero(likely)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first, last = np.maximum(places - average, 0), np.minimum(places + average, len(values))
    mean = (sums[last] - sums[first]) / (last - first)
    # Running sums round, and silence must not exceed its own mean by that.
    stands_out = values[places] >= mean + delta - 1e-9 * np.abs(mean)
    found: list[int] = []
    for place in places[stands_out].tolist():
        if not found or place - found[-1] > wait:
            found.append(place)
    return np.asarray(found, np.int64)
