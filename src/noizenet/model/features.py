"""What a network with tiers is given of each sample: its value, and its value under mu-law's glass."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GAIN = 4.0
"""Music has a standard deviation of about 1/4 of full scale or less; layers like numbers about 1."""

LPC_WINDOW, LPC_HOP = 1024, 64
"""Samples that the linear prediction is made from, and samples for which it is kept at most."""

LPC_FLOOR = 1e-5
"""White noise assumed under every sound, relative to its power: keeps the recursion well-conditioned."""

SMALLEST_SCALE = 1e-5

LOG_SCALE_LOW, LOG_SCALE_HIGH = -11.0, 1.0
"""Scales of a mixture's distributions: from about half a 16-bit step to far beyond full scale."""

NEPERS = math.log(10) / 20
"""One dB."""


class Scale(NamedTuple):
    """Classes of one measure of the sketch: how many, where they begin, and how wide they are, in dB."""

    classes: int
    low_db: float
    step_db: float


LEVEL = Scale(48, -72.0, 1.5)
COARSE = (LEVEL, Scale(24, -42.0, 2.0), Scale(24, -42.0, 2.0))
"""Level, brightness and sharpness; see :mod:`noizenet.model.coarse`."""


def lpc_taper() -> NDArray[np.float64]:
    """Return the weights [LPC_WINDOW] of the past: the rising half of a Hann window, newest most."""
    return np.hanning(2 * LPC_WINDOW)[:LPC_WINDOW]


LPC_POWER = float(np.square(lpc_taper()).sum())
"""What the weights of the past make of samples at full scale."""


def features_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return both features of values in [-1, 1], [V] → [V, 2]."""
    x = values.astype(np.float64)
    companded = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    return np.stack([GAIN * x, companded], 1).astype(np.float32)


def edges_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the limits of the classes' bins, [V] → [V + 1]: half way between neighbours, the outermost far out."""
    far = np.float32(1e3)
    return np.concatenate([[-far], (values[1:] + values[:-1]) / np.float32(2), [far]]).astype(np.float32)
