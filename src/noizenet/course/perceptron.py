"""Lesson 1. The perceptron: a line that learns from its mistakes.

A **perceptron** (F. Rosenblatt, 1958) multiplies its inputs x = (x₁ … x_D) by **weights** w_i, adds a **bias** b, and
answers yes or no (a binary classifier)::

    answer = 1 if w · x + b > 0 else 0

Geometrically w · x + b = 0 is a line (in more dimensions: a plane), the **decision boundary**; the answer is the side
on which x lies. The weights are perpendicular to the line, the bias shifts it.

It **learns** from examples (x, y) with the **target** y = 0 or 1. A right answer changes nothing; a wrong one moves the
line towards the example::

    w ← w + (y - answer) · x,      b ← b + (y - answer)

One pass over all examples is an **epoch** (a round). If some line separates the examples, learning stops after finitely
many mistakes, at most (R / margin)² of them, where R is the length of the longest (x, 1) and the margin is the distance
from the best line to the nearest example (A. Novikoff, 1962). If no line does, it never stops: the four points of XOR
are the classic case (M. Minsky and S. Papert, 1969). In lesson 2, two layers separate them.

An **artificial neuron** computes the same sum and applies an activation function (lesson 4), whose slope tells *how
much* and in which direction the answer was wrong. A perceptron is a neuron whose function is the step; it has a
separate learning rule, since the step has no useful slope.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]


def answer(w: F64, b: float, x: ArrayLike) -> NDArray[np.int64]:
    """Return the perceptron's answers [N] to examples x [N, D]."""
    return (np.asarray(x) @ w + b > 0).astype(np.int64)


def learn(x: ArrayLike, y: ArrayLike, epochs: int = 1000) -> tuple[F64, float, list[int]]:
    """Learn from examples by the perceptron rule.

    Parameters
    ----------
    x : array [N, D]
    y : array [N]
        Targets, 0 or 1.
    epochs : int
        Maximum passes over all examples; learning stops after an epoch without a mistake.

    Returns
    -------
    tuple
        Weights [D], bias, and the mistakes of each epoch; the last is 0 if a line separates the examples.

    Examples
    --------
    >>> w, b, mistakes = learn([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1])  # "and"
    >>> answer(w, b, [[0, 0], [0, 1], [1, 0], [1, 1]]).tolist(), mistakes[-1]
    ([0, 0, 0, 1], 0)
    >>> learn([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0])[2][-1] > 0  # XOR: no line separates it
    True
    """
    examples, targets = np.asarray(x, np.float64), np.asarray(y)
    w, b, mistakes = np.zeros(examples.shape[1]), 0.0, []
    for _ in range(epochs):
        wrong = 0
        for example, target in zip(examples, targets, strict=True):
            output = 1 if w @ example + b > 0 else 0
            if output != target:
                w, b = w + (target - output) * example, b + float(target - output)
                wrong += 1
        mistakes.append(wrong)
        if not wrong:
            break
    return w, b, mistakes


def bound(x: ArrayLike, y: ArrayLike, w: ArrayLike, b: float) -> float:
    """Return the upper bound of the rule's mistakes, (R / margin)², for a line (w, b) that separates the examples.

    The bias counts as the weight of a constant input 1.

    Raises
    ------
    ValueError
        If the line does not separate them.
    """
    extended = np.c_[np.asarray(x, np.float64), np.ones(len(np.asarray(x)))]
    line = np.append(np.asarray(w, np.float64), b)
    distances = (2 * np.asarray(y) - 1) * (extended @ line) / np.linalg.norm(line)
    if distances.min() <= 0:
        raise ValueError("this line does not separate the examples")
    return float((np.linalg.norm(extended, axis=1).max() / distances.min()) ** 2)
