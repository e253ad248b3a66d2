"""Lesson 4. Activation functions: from a neuron's sum (pre-activation) to its output (activation).

Without an **activation function**, several layers would be no more than one: a product of matrices is one matrix. The
function between them makes the network nonlinear. Learning uses its **derivative**, its slope (lesson 7).

- **Step function** (Heaviside): 1 where x > 0, else 0. A yes or no; its derivative is 0 wherever it exists, so descent
  cannot learn through it.
- **ReLU** (rectified linear unit): max(0, x). Derivative 1 or 0: cheap, and gradients pass through deep networks
  undiminished. A neuron whose sum is always negative ("dead") no longer learns.
- **Sigmoid** (logistic): σ(x) = 1 / (1 + e^-x), between 0 and 1: a probability, or a gate that is more or less open.
  Derivative σ(1 - σ), at most 1/4.
- **tanh**: (e^x - e^-x) / (e^x + e^-x) = 2 σ(2x) - 1, between -1 and 1, centred: an amplitude. Derivative 1 - tanh².
- **Softmax**: softmax(x)_i = e^x_i / Σ_j e^x_j, of a whole vector: positive numbers that sum to 1, the probabilities of
  a choice. Its derivatives are a matrix, the Jacobian: ∂p_i / ∂x_j = p_i (δ_ij - p_j).

The draft gives ReLU's formula for the sigmoid and for softmax; the right ones are above.

**Numerical stability**: e^1000 overflows, although σ(-1000) is simply 0. The sigmoid below never takes the exponential
of a positive number, and softmax subtracts the largest x first, which changes nothing, since e^-max cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def step(x: F64) -> F64:
    """Return 1 where x > 0, else 0."""
    return np.where(x > 0, 1.0, 0.0)


def step_slope(x: F64) -> F64:
    """Return 0, the derivative of the step (undefined at 0)."""
    return np.zeros_like(x)


def relu(x: F64) -> F64:
    """Return max(0, x)."""
    return np.maximum(x, 0.0)


def relu_slope(x: F64) -> F64:
    """Return 1 where x > 0, else 0 (at 0 the derivative is undefined; 0 by convention)."""
    return np.where(x > 0, 1.0, 0.0)


def sigmoid(x: F64) -> F64:
    """Return 1 / (1 + e^-x), numerically stable.

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    small = np.exp(-np.abs(x))
    return np.where(np.asarray(x) >= 0, 1 / (1 + small), small / (1 + small))


def sigmoid_slope(x: F64) -> F64:
    """Return σ(x) (1 - σ(x))."""
    return sigmoid(x) * sigmoid(-x)


def tanh(x: F64) -> F64:
    """Return 2 σ(2x) - 1."""
    return 2 * sigmoid(2 * np.asarray(x)) - 1


def tanh_slope(x: F64) -> F64:
    """Return 1 - tanh²(x)."""
    return 4 * sigmoid_slope(2 * np.asarray(x))


def softmax(x: F64) -> F64:
    """Return e^x / Σ e^x over the last axis, numerically stable.

    Examples
    --------
    >>> softmax(np.array([1000.0, 1000.0])).tolist()
    [0.5, 0.5]
    """
    powers = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def log_softmax(x: F64) -> F64:
    """Return log(softmax(x)) without a logarithm of 0."""
    shifted = x - x.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def softmax_slopes(x: F64) -> F64:
    """Return the Jacobian ∂p_i / ∂x_j = p_i (δ_ij - p_j) for a vector x [D]."""
    p = softmax(x)
    return np.diag(p) - np.outer(p, p)


FUNCTIONS = {
    "step": (step, step_slope), "relu": (relu, relu_slope), "sigmoid": (sigmoid, sigmoid_slope),
    "tanh": (tanh, tanh_slope),
}  # fmt: skip
"""Name → elementwise function and its derivative."""
