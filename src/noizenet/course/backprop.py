"""Lesson 7. Back-propagation: the gradient of the loss in every weight.

Descent needs the slope (partial derivative) of the loss E in every weight. A weight acts on E through all later layers.
By the **chain rule**, slopes along a path multiply, and slopes of several paths add. Going *backwards* (the backward
pass), from E to the inputs, every slope is computed once and used for all earlier ones. That is **back-propagation**
(D. Rumelhart, G. Hinton and R. Williams, 1986): it tells each weight its share of the blame for the error.

**For numbers.** ``Value`` below records how it was computed. ``backward`` walks from the loss back through this graph,
multiplies by the slope of each operation, and adds the results.

**For matrices.** Let δˡ = ∂E/∂zˡ be the gradient in layer l's sums (N examples as rows). The output layer has no
activation function, so δᴸ is the gradient in the output. From layer to layer, with zˡ = aˡ⁻¹ Wˡᵀ + bˡ and aˡ = f(zˡ)::

    E depends on aˡ⁻¹ only through zˡ:      ∂E/∂aˡ⁻¹ = δˡ Wˡ
    aˡ⁻¹ depends on zˡ⁻¹ number by number:  δˡ⁻¹ = (δˡ Wˡ) ⊙ f'(zˡ⁻¹)
    zˡ depends on Wˡ and bˡ:                ∂E/∂Wˡ = δˡᵀ aˡ⁻¹,    ∂E/∂bˡ = Σ_n δˡ_n

One forward and one backward pass of similar cost give the gradient in a million weights, where finite differences
(lesson 3) would need two million forward passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from noizenet.course import activations, errors
from noizenet.course.feedforward import Network

F64 = NDArray[np.float64]


@dataclass
class Value:
    """A number with its computation graph; ``slope`` is the gradient of the last ``backward`` in it.

    Examples
    --------
    >>> x, w = Value(2.0), Value(-3.0)
    >>> e = (x * w + 1.0).tanh()
    >>> e.backward()
    >>> round(x.slope, 6) == round(-3 * (1 - math.tanh(-5) ** 2), 6)
    True
    """

    number: float
    parents: tuple[tuple[Value, float], ...] = ()
    slope: float = field(default=0.0, compare=False)

    def __add__(self, other: Value | float) -> Value:
        other = _value(other)
        return Value(self.number + other.number, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other: Value | float) -> Value:
        other = _value(other)
        return Value(self.number * other.number, ((self, other.number), (other, self.number)))

    def __sub__(self, other: Value | float) -> Value:
        return self + _value(other) * -1.0

    def tanh(self) -> Value:
        """Return the hyperbolic tangent, whose derivative is 1 - tanh²."""
        t = math.tanh(self.number)
        return Value(t, ((self, 1 - t * t),))

    def backward(self) -> None:
        """Compute the slope of this number in every number that it was computed from."""
        order: list[Value] = []
        seen: set[int] = set()

        def visit(value: Value) -> None:  # parents before children
            if id(value) not in seen:
                seen.add(id(value))
                for parent, _ in value.parents:
                    visit(parent)
                order.append(value)

        visit(self)
        for value in order:
            value.slope = 0.0
        self.slope = 1.0
        for value in reversed(order):
            for parent, step in value.parents:
                parent.slope += value.slope * step


def _value(x: Value | float) -> Value:
    return x if isinstance(x, Value) else Value(float(x))


def backward(
    network: Network, slope_of_function: Callable[[F64], F64], x: F64, slope_of_error: Callable[[F64], F64]
) -> tuple[list[F64], list[F64]]:
    """Return the gradients of the loss in all weights and all biases of a network.

    Parameters
    ----------
    network : Network
    slope_of_function : callable
        Derivative of the hidden layers' activation function.
    x : array [N, D]
    slope_of_error : callable
        From the output [N, O] to ∂E/∂output [N, O].
    """
    output, inputs, sums = network.forward(x)
    grad = slope_of_error(output)
    weights, biases = [], []
    for i in reversed(range(len(network.weights))):
        weights.append(grad.T @ inputs[i])
        biases.append(grad.sum(0))
        if i:
            grad = (grad @ network.weights[i]) * slope_of_function(sums[i - 1])
    return weights[::-1], biases[::-1]


def learn(
    network: Network, x: F64, y: F64, rate: float = 0.5, epochs: int = 2000, function: str = "tanh"
) -> list[float]:
    """Fit a network to targets y [N, O] by descent on the mean square error; return the loss of every epoch."""
    slope, losses = activations.FUNCTIONS[function][1], []
    for _ in range(epochs):
        output = network.forward(x)[0]
        losses.append(errors.mse(y, output))
        weights, biases = backward(network, slope, x, lambda a: errors.mse_slope(y, a))
        for i in range(len(network.weights)):
            network.weights[i] -= rate * weights[i]
            network.biases[i] -= rate * biases[i]
    return losses
