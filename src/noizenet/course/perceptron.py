"""Lesson 1. The perceptron: a line that learns from its mistakes.

A **perceptron** (F. Rosenblatt, 1958) looks at numbers x = (x₁ … x_D), weighs each with a **weight** w_i, adds a
**bias** b, and answers yes or no::

    answer = 1 if w · x + b > 0 else 0

Geometrically it draws the line (in more dimensions: the plane) w · x + b = 0 and says on which side x lies. The
weights point across the line, the bias shifts it.

It **learns** from examples (x, y) with y = 0 or 1: where its answer is right it changes nothing; where it is wrong it
moves the line towards the example::

    w ← w + (y - answer) · x,      b ← b + (y - answer)

If some line separates the examples, this stops after finitely many mistakes, at most (R / margin)² of them, where R
is the length of the longest (x, 1) and the margin is how far the best line stays from every example (A. Novikoff,
1962). If no line does, it never stops: the four points of XOR, where a yes lies on either side of every line, are the
classic case (M. Minsky and S. Papert, 1969). One lesson on, two layers of it will separate them.

An **artificial neuron** is the same sum with another last step: instead of the yes or no of the perceptron it passes
w · x + b through a function whose slope is useful (lesson 4), so that it can be told *how much* and in which
direction it was wrong. A perceptron is a neuron whose function is the step; it is trained by its own rule, since the
step has no slope to go by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]


def answer(w: F64, b: float, x: ArrayLike) -> NDArray[np.int64]:
    """Return the perceptron's answers [N] to examples x [N, D]."""
    return (np.asarray(x) @ w + b > 0).astype(np.int64)


def learn(x: ArrayLike, y: ArrayLike, rounds: int = 1000) -> tuple[F64, float, list[int]]:
    """Learn from examples by the perceptron's rule.

    Parameters
    ----------
    x : array [N, D]
    y : array [N]
        0 or 1.
    rounds : int
        How often all examples are gone through at most; it stops after a round without a mistake.

    Returns
    -------
    tuple
        Weights [D], bias, and the mistakes made in each round: 0 at the end where a line separates the examples.

    Examples
    --------
    >>> w, b, mistakes = learn([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1])  # "and"
    >>> answer(w, b, [[0, 0], [0, 1], [1, 0], [1, 1]]).tolist(), mistakes[-1]
    ([0, 0, 0, 1], 0)
    >>> learn([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0])[2][-1] > 0  # "either … or": no line will do
    True
    """
    examples, wanted = np.asarray(x, np.float64), np.asarray(y)
    w, b, mistakes = np.zeros(examples.shape[1]), 0.0, []
    for _ in range(rounds):
        wrong = 0
        for one, right in zip(examples, wanted, strict=True):
            output = 1 if w @ one + b > 0 else 0
            if output != right:
                w, b = w + (right - output) * one, b + float(right - output)
                wrong += 1
        mistakes.append(wrong)
        if not wrong:
            break
    return w, b, mistakes


def bound(x: ArrayLike, y: ArrayLike, w: ArrayLike, b: float) -> float:
    """Return the most mistakes the rule can make, by any line (w, b) that separates the examples.

    (R / margin)², with the bias counted as a weight of a constant 1.

    Raises
    ------
    ValueError
        If the line does not separate them.
    """
    longer = np.c_[np.asarray(x, np.float64), np.ones(len(np.asarray(x)))]
    line = np.append(np.asarray(w, np.float64), b)
    sides = (2 * np.asarray(y) - 1) * (longer @ line) / np.linalg.norm(line)
    if sides.min() <= 0:
        raise ValueError("this line does not separate the examples")
    return float((np.linalg.norm(longer, axis=1).max() / sides.min()) ** 2)
