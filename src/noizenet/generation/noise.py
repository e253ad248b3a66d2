"""Noise prompts: white Gaussian noise, and Perlin noise in several octaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.1
"""Standard deviation of the noise at full scale 1, about the level of music."""


def normal(rng: np.random.Generator, count: int, sample_rate: int) -> NDArray[np.float32]:
    """Return `count` samples of white Gaussian noise."""
    return np.clip(rng.standard_normal(count) * LEVEL, -1, 1).astype(np.float32)


def perlin(
    rng: np.random.Generator, count: int, sample_rate: int, *, base_hz: float = 55.0, octaves: int = 6
) -> NDArray[np.float32]:
    """Return `count` samples of one-dimensional Perlin noise.

    Gradient noise with the quintic fade of K. Perlin, "Improving noise", SIGGRAPH 2002. Octave k has
    ``base_hz · 2^k`` lattice points a second and 2^-k of the first octave's amplitude.

    Parameters
    ----------
    rng : Generator
    count, sample_rate : int
    base_hz : float
        Lattice points a second of the first octave.
    octaves : int

    Returns
    -------
    ndarray, float32 [count]
        Standard deviation 0.1.
    """
    total = np.zeros(count)
    for octave in range(octaves):
        position = np.arange(count) * (base_hz * 2**octave / sample_rate)
        cell = position.astype(np.int64)
        gradients = rng.uniform(-1, 1, int(cell[-1]) + 2 if count else 2)
        inside = position - cell
        fade = inside**3 * (inside * (inside * 6 - 15) + 10)
        left, right = gradients[cell] * inside, gradients[cell + 1] * (inside - 1)
        total += (left + fade * (right - left)) / 2**octave
    std = float(total.std()) or 1.0
    return np.clip(total * (LEVEL / std), -1, 1).astype(np.float32)
