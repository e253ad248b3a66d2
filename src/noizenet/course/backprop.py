"""Lesson 7. Back-propagation: whose fault was it, and how much of it.

Descent needs the slope of the error E in every weight. A weight acts on E through all that comes after it; the
**chain rule** says that slopes along a path multiply, and slopes of several paths add. Going *backwards*, from E to
the inputs, every slope is worked out once and used by all that lie before it. That is back-propagation (D. Rumelhart,
G. Hinton and R. Williams, 1986).

**In numbers.** ``Value`` below remembers how it was made. ``backward`` walks from the error back through everything
it came from, each time multiplying by the slope of that one step and adding to what has arrived already.

**In matrices.** Call δˡ = ∂E/∂zˡ, the blame of layer l's sums (N examples as rows). The last layer has no function,
so δᴸ is the slope of the error in the answer. From layer to layer, with zˡ = aˡ⁻¹ Wˡᵀ + bˡ and aˡ = f(zˡ)::

    E depends on aˡ⁻¹ only through zˡ:      ∂E/∂aˡ⁻¹ = δˡ Wˡ
    aˡ⁻¹ depends on zˡ⁻¹ number by number:  δˡ⁻¹ = (δˡ Wˡ) ⊙ f'(zˡ⁻¹)
    zˡ depends on Wˡ and bˡ:                ∂E/∂Wˡ = δˡᵀ aˡ⁻¹,    ∂E/∂bˡ = Σ_n δˡ_n

One pass forward, one back, each of the same number of multiplications: the slopes of a million weights for the price
of two answers, where finite differences (lesson 3) would need two million.
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
    """A number that remembers how it was made; ``slope`` is that of the last ``backward`` in it.

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
        """Return its hyperbolic tangent, whose slope is 1 - tanh²."""
        t = math.tanh(self.number)
        return Value(t, ((self, 1 - t * t),))

    def backward(self) -> None:
        """Work out the slope of this number in every number that it came from."""
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
    """Return the slopes of the error in all weights and all biases of a network.

    Parameters
    ----------
    network : Network
    slope_of_function : callable
        f' of the hidden layers' function.
    x : array [N, D]
    slope_of_error : callable
        From the answer [N, O] to ∂E/∂answer [N, O].
    """
    answer, inputs, sums = network.forward(x)
    grad = slope_of_error(answer)
    weights, biases = [], []
    for i in reversed(range(len(network.weights))):
        weights.append(grad.T @ inputs[i])
        biases.append(grad.sum(0))
        if i:
            grad = (grad @ network.weights[i]) * slope_of_function(sums[i - 1])
    return weights[::-1], biases[::-1]


def learn(
    network: Network, x: F64, y: F64, rate: float = 0.5, rounds: int = 2000, function: str = "tanh"
) -> list[float]:
    """Fit a network to y [N, O] by plain descent on the mean square error; return the error of every round."""
    slope, found = activations.FUNCTIONS[function][1], []
    for _ in range(rounds):
        answer = network.forward(x)[0]
        found.append(errors.mse(y, answer))
        weights, biases = backward(network, slope, x, lambda a: errors.mse_slope(y, a))
        for i in range(len(network.weights)):
            network.weights[i] -= rate * weights[i]
            network.biases[i] -= rate * biases[i]
    return found
