"""Lesson 6. Errors: how wrong, and what each measure forgives.

y are the N numbers that should have come out, y' those that did.

- **Mean square error**: MSE = (1/N) Σ (y_i - y'_i)². Large errors count far more than small ones. It is smallest at
  the **mean** of all that could have come.
- **Mean absolute error**: MAE = (1/N) Σ abs(y_i - y'_i). Every unit of error counts alike. It is smallest at the
  **median**.
- **Mean bias error**: MBE = (1/N) Σ (y_i - y'_i). Signed: too low is positive here. It forgives everything that evens
  out, and says only whether there is a lean; nothing can be learned by it, since it can be made ever smaller.
- **Cross-entropy** of a choice: -log p_k, where p_k is the probability that was given to what really came. It is
  smallest where the probabilities are the true shares. It forgives nothing that was called impossible.

The draft's sums run over i = 0 … N, which are N + 1 numbers, and divide by N; they are over N numbers here.

**The seed of the collapse.** A string may swing up or down with equal chance. Asked for one number under the mean
square error, the best answer is the mean: no swing at all. It is the answer with the least error, and it is never
what happens. A network that is fed its own answers takes it for the truth, and asks the same again of a flatter past:
within a second all is flat. That is how every model of the paper died. Under the cross-entropy the best answer is
"half up, half down", and one draws from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noizenet.course import activations

F64 = NDArray[np.float64]


def mse(y: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean square error.

    Examples
    --------
    >>> mse([1.0, 2.0], [0.0, 4.0]), mae([1.0, 2.0], [0.0, 4.0]), mbe([1.0, 2.0], [0.0, 4.0])
    (2.5, 1.5, -0.5)
    """
    return float(np.mean((np.asarray(y) - np.asarray(predicted)) ** 2))


def mae(y: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean absolute error."""
    return float(np.mean(np.abs(np.asarray(y) - np.asarray(predicted))))


def mbe(y: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean bias error."""
    return float(np.mean(np.asarray(y) - np.asarray(predicted)))


def mse_slope(y: ArrayLike, predicted: ArrayLike) -> F64:
    """Return the slope of the mean square error in each prediction: 2 (y' - y) / N."""
    difference = np.asarray(predicted, np.float64) - np.asarray(y)
    return np.asarray(2 * difference / difference.size)


def mae_slope(y: ArrayLike, predicted: ArrayLike) -> F64:
    """Return the slope of the mean absolute error: sign(y' - y) / N (0 where they agree)."""
    difference = np.asarray(predicted, np.float64) - np.asarray(y)
    return np.asarray(np.sign(difference) / difference.size)


def cross_entropy(classes: ArrayLike, logits: F64) -> float:
    """Return the mean of -log p of what came: classes [N] under softmax(logits [N, V])."""
    k = np.asarray(classes)
    return float(-activations.log_softmax(logits)[np.arange(len(k)), k].mean())


def cross_entropy_slope(classes: ArrayLike, logits: F64) -> F64:
    """Return its slope in the logits: (p - 1 where it came) / N. So simple, because softmax and logarithm cancel."""
    k = np.asarray(classes)
    slope = activations.softmax(logits)
    slope[np.arange(len(k)), k] -= 1
    return slope / len(k)


def best_constant(y: ArrayLike, error: str) -> float:
    """Return the one number that predicts all of y best, found by trying: the mean for "mse", the median for "mae".

    Examples
    --------
    >>> up_or_down = [-1.0] * 50 + [1.0] * 50
    >>> abs(best_constant(up_or_down, "mse")) < 0.01  # never what happens
    True
    """
    values = np.asarray(y, np.float64)
    tried = np.linspace(values.min(), values.max(), 2001)
    apart = np.abs(values[None] - tried[:, None])
    return float(tried[(apart**2 if error == "mse" else apart).mean(1).argmin()])
