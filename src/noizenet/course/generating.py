"""Lesson 12. Generating: why the paper's music died, and how sampling cures it.

A network that predicts the next sample makes music by being fed its own predictions: **free running**. It is trained
by being fed the true past at every step: **teacher forcing**. Between the two lies everything that went wrong.

Take the smallest music there is: a swinging string, plucked at random. Its next sample is a weighted sum of the last
two, and a little noise that nobody can predict::

    x_t = a x_{t-1} + b x_{t-2} + e_t,      e_t ~ N(0, s²)

**Teacher-forced**, a network that knows a and b is nearly perfect: what it says differs from the truth by e_t alone.
It looks as if it had learned to play. (Repeating the last sample looks nearly as good: that is the persistence
baseline, and why an echo of a song proves nothing.)

**Free-running** under the mean square error it says a x_{t-1} + b x_{t-2} and hears it: the noise that kept the
string swinging is missing, since the mean of e_t is 0. The swing shrinks by the same factor every step; after a while
there is nothing. Nothing is wrong with the network. *The question was wrong*: it was asked for the mean of all that
could come, and the mean of all swings is stillness.

**Sampling** asks for the distribution instead, here N(a x_{t-1} + b x_{t-2}, s²), and draws from it. The noise is
back, the string swings for ever, as loud as it did, at its own pitch, and never twice the same.

noizenet's ``sample-lstm`` is this with an LSTM in place of a and b and a mixture of distributions in place of N;
``token-lstm`` draws codes of sound instead of samples. ``examples/collapse.py`` separates the paper's other slips (a
context that shrinks, samples that are fed twice) from this one.
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
        """Return a string of a pitch, whose swing shrinks by `decay` a sample when nothing plucks it."""
        return cls(2 * decay * math.cos(2 * math.pi * hertz / rate), -(decay**2), noise)

    def mean(self, x: F64, before: F64) -> F64:
        """Return the mean of what follows `before` and x: the best prediction under the square error."""
        return self.a * x + self.b * before

    def play(self, count: int, seed: int = 0, *, sample: bool = True, start: tuple[float, float] = (0.0, 0.0)) -> F64:
        """Return `count` samples of a free run: drawn, or (``sample=False``) the mean each time."""
        g, x = np.random.default_rng(seed), [*start]
        for _ in range(count):
            noise = self.noise * g.standard_normal() if sample else 0.0
            x.append(self.a * x[-1] + self.b * x[-2] + noise)
        return np.array(x[2:])


def fit(x: F64) -> String:
    """Learn a string from its sound by least squares: what a network with two inputs would learn.

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
    """Return the mean square error of the next sample, the true past given: the string's and persistence's."""
    predicted = string.mean(x[1:-1], x[:-2])
    return float(np.square(x[2:] - predicted).mean()), float(np.square(np.diff(x)[1:]).mean())


def loudness(x: F64, parts: int = 10) -> F64:
    """Return the root mean square of each of `parts` equal parts of a run."""
    return np.array([np.sqrt(np.square(p).mean()) for p in np.array_split(x, parts)])
