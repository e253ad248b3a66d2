"""Decorators that compile kernels, and scalar functions that the compiler can vectorise.

No allocation, no Python objects, float32 arithmetic. Fast-math lets the compiler reorder sums; outputs agree with torch
to about 1e-5 (tests/test_stepper.py).
"""

from __future__ import annotations

from typing import Any

import numba
from numba import float32

from noizenet.kernels.cache import persist


def compiled(function: Any) -> Any:
    """Compile a kernel with fast-math; cache it until a file in :data:`noizenet.kernels.cache.SOURCES` changes.

    Numba's own cache checks only the file of the function itself, not those of the functions that it calls, and breaks
    if two processes write to it at once. NumPy's error model is used since Python's checks each divisor for zero, which
    prevents vectorisation.
    """
    return persist(numba.njit(fastmath=True, nogil=True, error_model="numpy")(function))


def compiled_as_written(function: Any) -> Any:
    """Compile a kernel without fast-math: sums are added in the written order.

    A function that others call is compiled once on its own and once inside each caller. Which of the two runs depends
    on what this process compiled and what it loaded from the cache. With fast-math the two could round differently, and
    the same call could give different bits at the second start.
    """
    return persist(numba.njit(nogil=True, error_model="numpy")(function))


@numba.njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def tanh(x: Any) -> Any:
    """Rational minimax approximation of tanh in float32, error < 1e-6 (the coefficients are Eigen's, MPL 2)."""
    limit = float32(7.90531110763549805)
    x = min(max(x, -limit), limit)
    s = x * x
    p = float32(-2.76076847742355e-16)
    p = p * s + float32(2.00018790482477e-13)
    p = p * s + float32(-8.60467152213735e-11)
    p = p * s + float32(5.12229709037114e-08)
    p = p * s + float32(1.48572235717979e-05)
    p = p * s + float32(6.37261928875436e-04)
    p = p * s + float32(4.89352455891786e-03)
    q = float32(1.19825839466702e-06)
    q = q * s + float32(1.18534705686654e-04)
    q = q * s + float32(2.26843463243900e-03)
    q = q * s + float32(4.89352518554385e-03)
    return x * p / q


@numba.njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def sigmoid(x: Any) -> Any:
    """Return the logistic function, computed from :func:`tanh`."""
    return float32(0.5) * tanh(float32(0.5) * x) + float32(0.5)


@numba.njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def exp(x: Any) -> Any:
    """exp(x) as (series of exp(x / 64))^64: multiplications and additions only, so that it vectorises.

    Relative error < 2e-5; x is clamped to ±60.
    """
    y = min(max(x, float32(-60.0)), float32(60.0)) * float32(1.0 / 64.0)
    s = float32(1.0 / 362880.0)
    s = s * y + float32(1.0 / 40320.0)
    s = s * y + float32(1.0 / 5040.0)
    s = s * y + float32(1.0 / 720.0)
    s = s * y + float32(1.0 / 120.0)
    s = s * y + float32(1.0 / 24.0)
    s = s * y + float32(1.0 / 6.0)
    s = s * y + float32(0.5)
    s = s * y + float32(1.0)
    s = s * y + float32(1.0)
    s = s * s
    s = s * s
    s = s * s
    s = s * s
    s = s * s
    return s * s
