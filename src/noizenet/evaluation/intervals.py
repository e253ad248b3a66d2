"""Figures with the intervals that the recordings behind them allow: recordings are drawn, never the points of one.

Points of one recording are alike, so what counts is how many recordings there are. Resampling few of them gives
intervals that are too narrow: they are widened as those of a mean would have to be (the expanded percentile interval of
T. C. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015). From fewer than
five recordings no interval is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError

MIN_RECORDINGS = 5
"""Recordings from which on an interval is given."""

ROUNDS, TAIL = 200, 0.05
NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A figure, its interval, and how many values it comes from.

    Attributes
    ----------
    value : float
    low, high : float
        In 9 of 10 repetitions with other recordings such an interval holds the true figure; NaN where there are fewer
        than five recordings.
    count : int
        Values (stretches, seconds, recordings: what the measure counts).
    note : str
        What a reader must know of the figure; mostly empty.
    """

    value: float
    low: float
    high: float
    count: int
    note: str = ""


def expansion_factor(recordings: int) -> float:
    """Return by how much the resampling of so many recordings is too narrow.

    Examples
    --------
    >>> [round(widening(n), 2) for n in (5, 24, 1000)]
    [1.45, 1.06, 1.0]
    """
    from scipy import stats

    n = recordings
    return float(math.sqrt(n / (n - 1)) * stats.t.ppf(1 - TAIL, n - 1) / stats.norm.ppf(1 - TAIL))


def bootstrap_interval(value: float, drawn: Sequence[float], recordings: int) -> tuple[float, float]:
    """Return the interval around a figure from what resamplings of its recordings gave.

    It is moved so that the resamplings' middle is the value: a distance between a set and its resampling is not 0.
    """
    finite = [d for d in drawn if math.isfinite(d)]
    if recordings < MIN_RECORDINGS or len(finite) < len(drawn) / 2 or not finite:
        return NAN, NAN
    low, middle, high = np.quantile(finite, [TAIL, 0.5, 1 - TAIL])
    factor = expansion_factor(recordings)
    return float(value + factor * (low - middle)), float(value + factor * (high - middle))


def bootstrap(
    parts: Sequence[NDArray[Any]], statistic: Callable[[NDArray[Any]], float], seed: int, *, rounds: int = ROUNDS
) -> Estimate:
    """Return a figure of all recordings' values together, with an interval by resampling whole recordings.

    Parameters
    ----------
    parts : sequence of ndarray
        Each recording's values.
    statistic : callable
        What is made of the values of all.
    seed : int
    rounds : int
        Resamplings.

    Raises
    ------
    UsageError
        If there are fewer than two values, or the figure is not a number.
    """
    parts = [p for p in parts if len(p)]
    count = sum(map(len, parts))
    if count < 2:
        raise UsageError("no recording is long enough for it, or none holds sound")
    value = statistic(np.concatenate(parts))
    if not math.isfinite(value):
        raise UsageError("it comes out as no number: the values do not vary, or some are not finite")
    generator = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([parts[i] for i in generator.integers(len(parts), size=len(parts))]))
        for _ in range(rounds if len(parts) >= MIN_RECORDINGS else 0)
    ]
    return Estimate(value, *bootstrap_interval(value, drawn, len(parts)), count)


def mean_proportion(parts: Sequence[NDArray[Any]], seed: int, *, rounds: int = ROUNDS) -> Estimate:
    """Return the mean of values in [0, 1] with an interval.

    Where all recordings say the same, nothing varies in resampling: the interval is then that of a share of so many
    (E. B. Wilson, 1927). Five recordings of five are no proof of all.

    Raises
    ------
    UsageError
        If there is no value.
    """
    parts = [np.asarray(p, float) for p in parts if len(p)]
    whole = np.concatenate([np.zeros(0), *parts])
    if not len(whole):
        raise UsageError("there is no recording, or none holds sound")
    value, recordings = float(whole.mean()), len(parts)
    if recordings < MIN_RECORDINGS:
        return Estimate(value, NAN, NAN, len(whole))
    if np.ptp([p.mean() for p in parts]) == 0:
        return Estimate(value, *_wilson(value, recordings), len(whole))
    found = bootstrap(parts, lambda x: float(x.mean()), seed, rounds=rounds)
    return Estimate(value, max(0.0, found.low), min(1.0, found.high), len(whole))


def proportion(right: int, count: int) -> Estimate:
    """Return a share of independent recordings with Wilson's interval, which is honest for few and for all of them."""
    if not count:
        raise UsageError("there is no recording")
    low, high = _wilson(right / count, count) if count >= MIN_RECORDINGS else (NAN, NAN)
    return Estimate(right / count, low, high, count)


def _wilson(p: float, n: int) -> tuple[float, float]:
    from scipy import stats

    z = stats.norm.ppf(1 - TAIL)
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return float(min(max(0.0, low), p)), float(max(min(1.0, high), p))


def clip_at_zero(found: Estimate) -> Estimate:
    """Return an estimate of what cannot be negative: below 0 it is given as 0, and said so.

    Unbiased estimates of a distance scatter around it. One below 0 says that the sets lie nearer than two samples of
    one distribution do on average: by chance, or since they share recordings.
    """
    low, high = (bound if math.isnan(bound) else max(0.0, bound) for bound in (found.low, found.high))
    if found.value >= 0:
        return Estimate(found.value, low, high, found.count, found.note)
    note = f"the estimate is {found.value:.3g}, given as 0: nearer than two samples of one distribution are on average"
    return Estimate(0.0, low, high, found.count, note)
