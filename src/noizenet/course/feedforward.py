"""Lesson 5. Feed forward: from the inputs to the output.

The **forward pass** of a network with layers 1 … L is::

    a⁰ = x;      zˡ = Wˡ aˡ⁻¹ + bˡ;      aˡ = f(zˡ)

Each layer computes weighted sums z (pre-activations) and the activations a. Several examples are computed at once as a
**batch**, the rows of a matrix X [N, D]: Z = X Wᵀ + b, one matrix product for all.

**The cost** is counted in multiplications: a layer from D to H numbers takes D · H of them for each example; biases and
activation functions cost little. This number decides whether a network can generate in real time: a network with
400,000 weights that runs 22,050 times a second takes 9 billion multiplications for a second of sound; one that runs 43
times takes 17 million.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass
class Network:
    """A multi-layer perceptron.

    Parameters
    ----------
    weights : list of array
        Wˡ [H_l, H_{l-1}].
    biases : list of array
        bˡ [H_l].
    function : callable
        Activation function of the hidden layers; the output layer has none.
    """

    weights: list[F64]
    biases: list[F64]
    function: Callable[[F64], F64]

    @classmethod
    def random(cls, sizes: Sequence[int], function: Callable[[F64], F64], seed: int = 0) -> Network:
        """Return a network of these layer sizes, with initial weights of variance 1 / inputs (Y. LeCun et al., 1998).

        The sums of every layer then have about the variance of the inputs: they neither vanish nor explode.
        """
        g = np.random.default_rng(seed)
        weights = [g.normal(0, 1 / np.sqrt(i), (o, i)) for i, o in itertools.pairwise(sizes)]
        return cls(weights, [np.zeros(o) for o in sizes[1:]], function)

    def forward(self, x: F64) -> tuple[F64, list[F64], list[F64]]:
        """Return the output [N, O] for inputs [N, D], and each layer's inputs aˡ⁻¹ and sums zˡ (for lesson 7)."""
        a, inputs, sums = np.asarray(x, np.float64), [], []
        last = len(self.weights) - 1
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs.append(a)
            z = a @ w.T + b
            sums.append(z)
            a = z if i == last else self.function(z)
        return a, inputs, sums


def multiplications(sizes: Sequence[int]) -> int:
    """Return the number of multiplications for one example through layers of these sizes.

    Examples
    --------
    >>> multiplications([2, 3, 1])
    9
    """
    return sum(i * o for i, o in itertools.pairwise(sizes))
