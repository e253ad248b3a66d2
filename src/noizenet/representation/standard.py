"""Per-dimension standardisation of vectors, shared by the spectral representations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

MIN_STD = 1e-4


def moments(batches: Iterable[NDArray[np.float32]], dim: int) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each of `dim` columns over all [n, dim] batches."""
    count = 0
    total, squares = np.zeros(dim), np.zeros(dim)
    for batch in batches:
        x = batch.astype(np.float64)
        count += len(x)
        total += x.sum(axis=0)
        squares += np.square(x).sum(axis=0)
    if count == 0:
        return [], []
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean * mean, 0.0))
    return [float(m) for m in mean], [float(s) for s in np.maximum(std, MIN_STD)]


def standardise(x: NDArray[np.float32], mean: list[float], std: list[float]) -> NDArray[np.float32]:
    """Return (x - mean) / std; x is unchanged if nothing was fitted."""
    if not mean:
        return x
    return ((x - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)).astype(np.float32)


def restore(x: NDArray[np.float32], mean: list[float], std: list[float]) -> NDArray[np.float32]:
    """Undo :func:`standardise`."""
    if not mean:
        return x
    return (x * np.asarray(std, np.float32) + np.asarray(mean, np.float32)).astype(np.float32)
