"""Lesson 3. Gradient descent: downhill, step by step.

Learning makes an error small: the **loss**, as a function f of the weights. The **gradient** of f at a point p is the
vector of its slopes in every direction. It points uphill, where f rises fastest, so descent goes against it::

    p ← p - η ∇f(p)

η is the **step size** or **learning rate**. If it is too small, descent takes very long; if it is too large, descent
jumps over the valley and back, or away. On f(x, y) = sin x + sin y every path ends in one of infinitely many valleys at
(-π/2 + 2πm, -π/2 + 2πn): a **local minimum**, the lowest point near by. Here all valleys are equally deep; in a network
they are not, and the start decides which one is reached.

**Momentum** (B. Polyak, 1964) is like a rolling ball: the velocity v keeps a share μ of itself::

    v ← μ v - η ∇f(p),      p ← p + v

It is faster along valleys and passes small bumps. **Nesterov's fast gradient** (Y. Nesterov, 1983) takes the gradient
where the ball is about to be, ∇f(p + μ v), and so brakes before the bottom. **Adam** (D. Kingma and J. Ba, 2015) keeps
a running mean m of the gradient and a running mean s of its square, and steps by m / √s: every weight gets a step of
about η, however steep its direction is. Both means begin at zero, and 1 / (1 - β^t) corrects that bias.

**Finite differences** check a formula for a gradient: take a tiny step each way and measure the change of f. They are
slow, one measurement for every direction, but need no formula. All gradients of this course are checked in this way.
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
    """Return the path [steps + 1, D] of descent with momentum; with `ahead`, Nesterov's."""
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
    """Return the path [steps + 1, D] of Adam."""
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
    """Return the gradient of f at p [D] by finite differences over steps of `width`."""
    point = np.asarray(p, np.float64)
    found = np.zeros_like(point)
    for i in np.ndindex(point.shape):
        up, down = point.copy(), point.copy()
        up[i] += width
        down[i] -= width
        found[i] = (f(up) - f(down)) / (2 * width)
    return found
