"""Confidence intervals by a bootstrap over recordings.

The points of one recording are correlated, so whole recordings are resampled. Few recordings give intervals that are
too narrow: they are widened by the factor for a mean (the expanded percentile interval of T. C. Hesterberg, "What
teachers should know about the bootstrap", The American Statistician 69, 2015). For fewer than five recordings no
interval is given.
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
"""Recordings that an interval needs."""

ROUNDS, TAIL = 200, 0.05
NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval.

    Attributes
    ----------
    value : float
    low, high : float
        90 % confidence interval over recordings; NaN for fewer than five recordings.
    count : int
        Number of values (segments, seconds or recordings, depending on the metric).
    note : str
        Caveat for the reader; usually empty.
    """

    value: float
    low: float
    high: float
    count: int
    note: str = ""


def expansion_factor(recordings: int) -> float:
    """Return the factor by which a bootstrap interval of so many recordings is widened.

    Examples
    --------
    >>> [round(expansion_factor(n), 2) for n in (5, 24, 1000)]
    [1.45, 1.06, 1.0]
    """
    from scipy import stats

    n = recordings
    return float(math.sqrt(n / (n - 1)) * stats.t.ppf(1 - TAIL, n - 1) / stats.norm.ppf(1 - TAIL))


def bootstrap_interval(value: float, drawn: Sequence[float], recordings: int) -> tuple[float, float]:
    """Return the interval of a value from the values of the resamplings.

    It is centred so that the resamplings' median is at the value: a distance between a set and its resampling is not 0.
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
    """Return a statistic of all recordings' values, with an interval by resampling whole recordings.

    Parameters
    ----------
    parts : sequence of ndarray
        Each recording's values.
    statistic : callable
        Function of the concatenated values.
    seed : int
    rounds : int
        Number of resamplings.

    Raises
    ------
    UsageError
        If there are fewer than two values, or the result is not finite.
    """
    parts = [p for p in parts if len(p)]
    count = sum(map(len, parts))
    if count < 2:
        raise UsageError("no recording is long enough, or all are silent")
    value = statistic(np.concatenate(parts))
    if not math.isfinite(value):
        raise UsageError("the result is not finite: the values are constant, or some are not finite")
    generator = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([parts[i] for i in generator.integers(len(parts), size=len(parts))]))
        for _ in range(rounds if len(parts) >= MIN_RECORDINGS else 0)
    ]
    return Estimate(value, *bootstrap_interval(value, drawn, len(parts)), count)


def mean_proportion(parts: Sequence[NDArray[Any]], seed: int, *, rounds: int = ROUNDS) -> Estimate:
    """Return the mean of values in [0, 1] with an interval.

    If all recordings have the same mean, resampling does not vary; the interval is then that of a binomial proportion
    (E. B. Wilson, 1927).

    Raises
    ------
    UsageError
        If there is no value.
    """
    parts = [np.asarray(p, float) for p in parts if len(p)]
    whole = np.concatenate([np.zeros(0), *parts])
    if not len(whole):
        raise UsageError("there is no recording, or all are silent")
    value, recordings = float(whole.mean()), len(parts)
    if recordings < MIN_RECORDINGS:
        return Estimate(value, NAN, NAN, len(whole))
    if np.ptp([p.mean() for p in parts]) == 0:
        return Estimate(value, *_wilson(value, recordings), len(whole))
    found = bootstrap(parts, lambda x: float(x.mean()), seed, rounds=rounds)
    return Estimate(value, max(0.0, found.low), min(1.0, found.high), len(whole))


def proportion(right: int, count: int) -> Estimate:
    """Return a proportion of independent recordings with Wilson's interval, which is valid for few or all of them."""
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
    """Return an estimate of a quantity that cannot be negative: a negative value becomes 0, with a note.

    Unbiased estimates of a distance scatter around it. A negative one means that the sets are nearer than two samples
    of one distribution are on average: by chance, or because they share recordings.
    """
    low, high = (bound if math.isnan(bound) else max(0.0, bound) for bound in (found.low, found.high))
    if found.value >= 0:
        return Estimate(found.value, low, high, found.count, found.note)
    note = f"the estimate is {found.value:.3g}, given as 0: nearer than two samples of one distribution are on average"
    return Estimate(0.0, low, high, found.count, note)
