"""Input features of tiered networks, and constants shared with the compiled loop. A sample gives two features."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GAIN = 4.0
"""Scales samples, whose standard deviation is about 1/4 of full scale or less, to about 1."""

LPC_WINDOW, LPC_HOP = 1024, 64
"""Window of the linear prediction, and maximum hop between its updates, in samples."""

LPC_FLOOR = 1e-5
"""White noise added to every window, relative to its power: keeps the recursion well-conditioned."""

SMALLEST_SCALE = 1e-5

LOG_SCALE_LOW, LOG_SCALE_HIGH = -11.0, 1.0
"""Limits of a mixture's log scales: from about half a 16-bit step to far beyond full scale."""

NEPERS = math.log(10) / 20
"""One dB in nepers."""


class Scale(NamedTuple):
    """Quantiser of one coarse feature: number of classes, lower edge of the first, and width, in dB."""

    classes: int
    low_db: float
    step_db: float


LEVEL = Scale(48, -72.0, 1.5)
COARSE = (LEVEL, Scale(24, -42.0, 2.0), Scale(24, -42.0, 2.0))
"""Level, brightness and sharpness; see :mod:`noizenet.model.coarse`."""


def lpc_taper() -> NDArray[np.float64]:
    """Return the LPC window [LPC_WINDOW]: the rising half of a Hann window, oldest sample first."""
    return np.hanning(2 * LPC_WINDOW)[:LPC_WINDOW]


LPC_POWER = float(np.square(lpc_taper()).sum())
"""Power of the LPC window: its sum of squares."""


def features_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the features of values in [-1, 1], [V] → [V, 2]: the scaled value and its mu-law companding."""
    x = values.astype(np.float64)
    companded = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    return np.stack([GAIN * x, companded], 1).astype(np.float32)


def edges_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the bin edges of class values, [V] → [V + 1]: half way between neighbours, the outermost far away."""
    far = np.float32(1e3)
    return np.concatenate([[-far], (values[1:] + values[:-1]) / np.float32(2), [far]]).astype(np.float32)
