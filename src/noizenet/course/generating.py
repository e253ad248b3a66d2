"""Lesson 12. Generating: why the paper's music decayed to silence, and how sampling prevents it.

A network that predicts the next sample generates music when its predictions become its next inputs (**free running**,
or autoregressive generation). In training, its inputs are the true past (**teacher forcing**). The difference between
the two caused the collapse.

The simplest music is a string that is excited at random (an autoregressive process of order 2). Its next sample is a
weighted sum of the last two, and a little unpredictable noise::

    x_t = a x_{t-1} + b x_{t-2} + e_t,      e_t ~ N(0, s²)

**Teacher-forced**, a network with the right a and b is nearly perfect: its prediction differs from the target by e_t
alone. It seems to have learned to play. (Repeating the last sample looks nearly as good: that is the **persistence**
baseline, and why an echo of a song proves nothing.)

**Free-running** under the mean square error, it outputs a x_{t-1} + b x_{t-2} and takes it as the next input. The noise
that kept the string swinging is missing, since the mean of e_t is 0. The amplitude shrinks by the same factor every
step, until nothing is left. The network is right; *the loss was wrong*: it asks for the mean of all possible
continuations, and the mean of all swings is zero.

**Sampling** uses the predicted distribution instead, here N(a x_{t-1} + b x_{t-2}, s²), and draws from it. With the
noise the string keeps swinging at its level and pitch, and every run is different.

noizenet's ``sample-lstm`` does this with an LSTM instead of a and b and a mixture distribution instead of N;
``token-lstm`` samples codes (tokens) of audio instead of samples. ``examples/collapse.py`` separates this error from
the paper's other ones (a context that shrinks, samples that are fed twice).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class String:
    """A swinging string: x_t = a x_{t-1} + b x_{t-2} + noise."""

    a: float
    b: float
    noise: float

    @classmethod
    def tuned(cls, hertz: float, rate: int, decay: float = 0.999, noise: float = 0.01) -> String:
        """Return a string of a pitch whose amplitude shrinks by the factor `decay` per sample without noise."""
        return cls(2 * decay * math.cos(2 * math.pi * hertz / rate), -(decay**2), noise)

    def mean(self, x: F64, before: F64) -> F64:
        """Return the mean of the sample after `before` and x: the best prediction under the mean square error."""
        return self.a * x + self.b * before

    def play(self, count: int, seed: int = 0, *, sample: bool = True, start: tuple[float, float] = (0.0, 0.0)) -> F64:
        """Return `count` samples of a free run: sampled, or (``sample=False``) the mean at each step."""
        g, x = np.random.default_rng(seed), [*start]
        for _ in range(count):
            noise = self.noise * g.standard_normal() if sample else 0.0
            x.append(self.a * x[-1] + self.b * x[-2] + noise)
        return np.array(x[2:])


def fit(x: F64) -> String:
    """Fit a string to samples by least squares, as a network with two inputs would learn it.

    Examples
    --------
    >>> true = String.tuned(440, 8000)
    >>> learned = fit(true.play(20_000))
    >>> abs(learned.a - true.a) < 0.01, abs(learned.b - true.b) < 0.01
    (True, True)
    """
    past = np.c_[x[1:-1], x[:-2]]
    (a, b), *_ = np.linalg.lstsq(past, x[2:], rcond=None)
    return String(float(a), float(b), float(np.std(x[2:] - past @ [a, b])))


def teacher_forced(string: String, x: F64) -> tuple[float, float]:
    """Return the mean square errors of the next sample under teacher forcing: the string's and persistence's."""
    predicted = string.mean(x[1:-1], x[:-2])
    return float(np.square(x[2:] - predicted).mean()), float(np.square(np.diff(x)[1:]).mean())


def loudness(x: F64, parts: int = 10) -> F64:
    """Return the root mean square (RMS) of each of `parts` equal parts of a run."""
    return np.array([np.sqrt(np.square(p).mean()) for p in np.array_split(x, parts)])
