"""Lesson 6. Errors: loss functions, and the prediction that minimises each of them.

y are the N targets, y' the N predictions. A measure of their difference that training minimises is a loss function.

- **Mean square error** (MSE) = (1/N) Σ (y_i - y'_i)². Large errors count far more than small ones. The **mean** of the
  targets minimises it.
- **Mean absolute error** (MAE) = (1/N) Σ abs(y_i - y'_i). Every unit of error counts alike. The **median** minimises
  it.
- **Mean bias error** (MBE) = (1/N) Σ (y_i - y'_i). Signed: a low prediction is positive here. Errors of opposite sign
  cancel. It is no loss function, since it can be made ever smaller.
- **Cross-entropy** of a choice: -log p_k, where p_k is the predicted probability of the target class; also called the
  negative log-likelihood. The probabilities are the softmax of the network's outputs, the **logits**. The true shares
  minimise it. A target with probability 0 costs infinitely much.

The draft's sums run over i = 0 … N, which are N + 1 numbers, and divide by N; they are over N numbers here.

**The cause of the collapse.** A string may swing up or down with equal probability. The single prediction with the
least mean square error is the mean: no swing at all. That never happens in the data. A network whose predictions are
its next inputs treats it as the truth and predicts again from a flatter past: within a second the signal is flat. Every
model of the paper collapsed in this way. Under the cross-entropy the best prediction is the distribution "half up, half
down", and generation samples from it.
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
    """Return the gradient of the mean square error in the predictions: 2 (y' - y) / N."""
    difference = np.asarray(predicted, np.float64) - np.asarray(y)
    return np.asarray(2 * difference / difference.size)


def mae_slope(y: ArrayLike, predicted: ArrayLike) -> F64:
    """Return the gradient of the mean absolute error: sign(y' - y) / N (0 where they are equal)."""
    difference = np.asarray(predicted, np.float64) - np.asarray(y)
    return np.asarray(np.sign(difference) / difference.size)


def cross_entropy(classes: ArrayLike, logits: F64) -> float:
    """Return the mean of -log p of the target classes [N] under softmax(logits [N, V])."""
    k = np.asarray(classes)
    return float(-activations.log_softmax(logits)[np.arange(len(k)), k].mean())


def cross_entropy_slope(classes: ArrayLike, logits: F64) -> F64:
    """Return the gradient in the logits: (p - one-hot target) / N; softmax and logarithm cancel."""
    k = np.asarray(classes)
    slope = activations.softmax(logits)
    slope[np.arange(len(k)), k] -= 1
    return slope / len(k)


def best_constant(y: ArrayLike, error: str) -> float:
    """Return the best constant prediction of y, by search: the mean for "mse", the median for "mae".

    Examples
    --------
    >>> up_or_down = [-1.0] * 50 + [1.0] * 50
    >>> abs(best_constant(up_or_down, "mse")) < 0.01  # a value that is not in the data
    True
    """
    values = np.asarray(y, np.float64)
    candidates = np.linspace(values.min(), values.max(), 2001)
    distances = np.abs(values[None] - candidates[:, None])
    return float(candidates[(distances**2 if error == "mse" else distances).mean(1).argmin()])
