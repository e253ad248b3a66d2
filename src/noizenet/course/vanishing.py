"""Lesson 9. Vanishing and exploding gradients: why memory is short.

A gradient that goes back k steps through a recurrent network is multiplied k times by W_hh and by the slopes of tanh::

    ∂h_t / ∂h_{t-k} = Π (1 - h²) ⊙ W_hh        k factors

Repeated multiplication by the same matrix makes a vector grow or shrink like ρ^k, where ρ, the **spectral radius**, is
the size of the matrix's largest eigenvalue. With ρ = 0.9 a hundred steps leave 0.9^100 = 0.00003 of it: a **vanishing
gradient**, and nothing is learned about inputs a hundred steps ago, which at 22,050 samples a second is 5 milliseconds.
With ρ = 1.1 it grows to 14,000: an **exploding gradient**, and one step of descent destroys the weights. The slopes of
tanh, at most 1, only make it vanish sooner (S. Hochreiter, 1991; Y. Bengio, P. Simard and P. Frasconi, 1994).

Gradient **clipping** (R. Pascanu, T. Mikolov and Y. Bengio, 2013) prevents the explosion: if the norm of the gradient
of all weights together exceeds a limit, the gradient is scaled to the limit. Its direction is kept. A vanished gradient
cannot be restored; that needs another cell, lesson 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noizenet.course.rnn import Rnn

F64 = NDArray[np.float64]


def spectral_radius(matrix: F64) -> float:
    """Return the size of the largest eigenvalue."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def with_radius(network: Rnn, radius: float) -> Rnn:
    """Return the network with W_hh scaled to a spectral radius."""
    return Rnn(network.w_ih, network.w_hh * radius / spectral_radius(network.w_hh), network.b_ih, network.b_hh)


def gradient_over_time(network: Rnn, x: F64, *, linear: bool = False) -> F64:
    """Return the norm of a gradient of length 1 at the last step after k steps back, [T]; k = 0 … T - 1.

    With `linear` the slopes of tanh are taken as 1, so that only W_hh acts.
    """
    states = network.run(x, np.zeros(len(network.b_hh)))
    back = np.ones(states.shape[1]) / np.sqrt(states.shape[1])
    norms = [1.0]
    for t in reversed(range(1, len(x))):
        slope = np.ones_like(back) if linear else 1 - states[t + 1] ** 2
        back = network.w_hh.T @ (back * slope)
        norms.append(float(np.linalg.norm(back)))
    return np.array(norms)


def measure(radii: Sequence[float], steps: int = 100, hidden: int = 64, seed: int = 0) -> dict[float, F64]:
    """Return the norm of the gradient over time for several spectral radii, on quiet noise."""
    network = Rnn.random(1, hidden, seed)
    quiet = Rnn(network.w_ih, network.w_hh, np.zeros(hidden), np.zeros(hidden))
    x = np.random.default_rng(seed).normal(0, 0.01, (steps, 1))
    return {radius: gradient_over_time(with_radius(quiet, radius), x) for radius in radii}


def clip(gradients: Sequence[F64], limit: float) -> list[F64]:
    """Return gradients, scaled together so that their norm is at most `limit`.

    Examples
    --------
    >>> [g.round(9).tolist() for g in clip([np.array([3.0]), np.array([4.0])], 1.0)]
    [[0.6], [0.8]]
    """
    length = np.sqrt(sum(float(np.square(g).sum()) for g in gradients))
    factor = min(1.0, limit / max(length, 1e-12))
    return [g * factor for g in gradients]
