"""Lesson 3. Gradient descent: downhill, step by step.

To learn is to make an error small. The **gradient** of a function f at a point p is the vector of its slopes in every
direction; it points uphill, where f rises fastest, so the way down is against it::

    p ← p - η ∇f(p)

η is the **step size** (learning rate). Too small, and it takes for ever; too large, and it jumps over the valley and
back, or away. On f(x, y) = sin x + sin y every path ends in one of infinitely many valleys at (-π/2 + 2πm, -π/2 +
2πn): a **local minimum**, the lowest point near by. Here all valleys are equally deep; in a network they are not, and
which one is reached depends on where one starts.

**Momentum** (B. Polyak, 1964) lets a ball roll instead of a walker step: the velocity v keeps a share μ of itself::

    v ← μ v - η ∇f(p),      p ← p + v

It runs faster along valleys and over small bumps. **Nesterov's fast gradient** (Y. Nesterov, 1983) looks at the slope
where the ball is about to be, ∇f(p + μ v), and so brakes before the bottom instead of behind it. **Adam** (D. Kingma
and J. Ba, 2015) keeps a running mean m of the gradient and a running mean s of its square, and steps by m / √s: every
weight gets a step of about η, however steep its own direction is. Both means begin at zero and are scaled up for it
(by 1 / (1 - β^t)).

How does one know that a formula for a gradient is right? By **finite differences**: go a tiny step each way and see how
much f has changed. It is slow, one measurement for every direction, but it needs no formula; all gradients of this
course are checked so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
Gradient = Callable[[F64], F64]


def surface(p: F64) -> F64:
    """Return sin x + sin y for points [..., 2]."""
    return np.asarray(np.sin(p).sum(-1))


def surface_gradient(p: F64) -> F64:
    """Return (cos x, cos y)."""
    return np.cos(p)


def descend(gradient: Gradient, start: ArrayLike, rate: float = 0.1, steps: int = 100) -> F64:
    """Return the path [steps + 1, D] of plain gradient descent.

    Examples
    --------
    >>> descend(surface_gradient, [0.5, 1.0], rate=0.5, steps=60)[-1].round(3).tolist()
    [-1.571, -1.571]
    """
    path = [np.asarray(start, np.float64)]
    for _ in range(steps):
        path.append(path[-1] - rate * gradient(path[-1]))
    return np.array(path)


def roll(
    gradient: Gradient, start: ArrayLike, rate: float = 0.1, steps: int = 100, momentum: float = 0.9, *,
    ahead: bool = False,
) -> F64:  # fmt: skip
    """Return the path of descent with momentum; with `ahead`, Nesterov's."""
    path, v = [np.asarray(start, np.float64)], np.zeros(np.shape(start))
    for _ in range(steps):
        at = path[-1] + momentum * v if ahead else path[-1]
        v = momentum * v - rate * gradient(at)
        path.append(path[-1] + v)
    return np.array(path)


def adam(
    gradient: Gradient, start: ArrayLike, rate: float = 0.1, steps: int = 100,
    betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8,
) -> F64:  # fmt: skip
    """Return the path of Adam."""
    path = [np.asarray(start, np.float64)]
    mean, square = np.zeros(np.shape(start)), np.zeros(np.shape(start))
    for t in range(1, steps + 1):
        g = gradient(path[-1])
        mean = betas[0] * mean + (1 - betas[0]) * g
        square = betas[1] * square + (1 - betas[1]) * g**2
        unbiased = mean / (1 - betas[0] ** t), square / (1 - betas[1] ** t)
        path.append(path[-1] - rate * unbiased[0] / (np.sqrt(unbiased[1]) + epsilon))
    return np.array(path)


def slopes(f: Callable[[F64], F64], p: ArrayLike, width: float = 1e-6) -> F64:
    """Return the gradient of f at p [D] by **finite differences**: the slope over a tiny step in each direction.

    Slow, but it needs no formula: with it every gradient of this course is checked.
    """
    point = np.asarray(p, np.float64)
    found = np.zeros_like(point)
    for i in np.ndindex(point.shape):
        up, down = point.copy(), point.copy()
        up[i] += width
        down[i] -= width
        found[i] = (f(up) - f(down)) / (2 * width)
    return found
