"""Learning-rate schedules: progress in [0, 1] and past validation losses → a factor in (0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence

FLOOR = 0.02
PLATEAU_PATIENCE = 3


def constant(progress: float, history: Sequence[float]) -> float:
    """Return 1."""
    return 1.0


def cosine(progress: float, history: Sequence[float]) -> float:
    """Fall from 1 to 0.02 along half a cosine.

    Examples
    --------
    >>> cosine(0.0, []), round(cosine(0.5, []), 2), round(cosine(1.0, []), 2)
    (1.0, 0.51, 0.02)
    """
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def step(progress: float, history: Sequence[float]) -> float:
    """Divide by 3 after half of the training, by 10 after three quarters."""
    return 1.0 if progress < 0.5 else 1 / 3 if progress < 0.75 else 0.1


def plateau(progress: float, history: Sequence[float]) -> float:
    """Halve after three validations in a row without improvement.

    Examples
    --------
    >>> plateau(0.0, [3.0, 2.0, 2.1, 2.2, 2.3])
    0.5
    """
    factor, best, waited = 1.0, math.inf, 0
    for value in history:
        if value < best:
            best, waited = value, 0
        else:
            waited += 1
            if waited == PLATEAU_PATIENCE:
                factor, waited = max(FLOOR, factor / 2), 0
    return factor
