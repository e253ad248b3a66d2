"""Lesson 2. Layers: several lines separate what one line cannot.

A **multi-layer perceptron** (MLP) has a first layer of neurons with the same inputs, and further layers whose inputs
are the outputs (answers) of the previous layer. A layer between the inputs and the output layer is a **hidden layer**.
With the step as an activation function (lesson 4), two layers already answer many yes-or-no questions about points:
each neuron of the first layer is a line, the second combines the sides.

XOR by hand: one hidden neuron computes "at least one" (x₁ + x₂ > 0.5), another "both" (x₁ + x₂ > 1.5), and the output
neuron "at least one, but not both".

A layer is a **matrix**: the weights of its H neurons are the rows of W [H, D], its biases a vector b [H], and its
output for x [D] is f(W x + b). In drawings each weight is a line from an input to a neuron, as thick as the weight is
large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass
class Layer:
    """A layer: weights W [H, D], biases b [H] and the activation function."""

    weights: F64
    biases: F64
    function: Callable[[F64], F64]

    def __call__(self, x: F64) -> F64:
        """Return the outputs [..., H] for inputs [..., D]."""
        return self.function(x @ self.weights.T + self.biases)


def step(x: F64) -> F64:
    """Return 1 where x > 0, else 0."""
    return np.where(x > 0, 1.0, 0.0)


def run(layers: Sequence[Layer], x: F64) -> list[F64]:
    """Return the inputs and every layer's outputs: x, first hidden layer, …, output layer."""
    values = [np.asarray(x, np.float64)]
    for layer in layers:
        values.append(layer(values[-1]))
    return values


def xor() -> list[Layer]:
    """Return two layers that compute XOR ("either … or").

    Examples
    --------
    >>> corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    >>> run(xor(), corners)[-1][:, 0].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    hidden = Layer(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([-0.5, -1.5]), step)
    output = Layer(np.array([[1.0, -1.0]]), np.array([-0.5]), step)
    return [hidden, output]


def thickness(weights: F64, thickest: float = 4.0) -> F64:
    """Return the line width of each weight [H, D], in proportion to its size; the largest is `thickest` points."""
    size = np.abs(weights)
    return thickest * size / max(float(size.max()), 1e-12)
