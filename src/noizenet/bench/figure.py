"""A benchmark result and the timing functions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """A measured value with its target; `higher` is whether higher is better."""

    name: str
    value: float
    unit: str
    target: float | None = None
    higher: bool = True
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.higher else self.value <= self.target


def time_call(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def time_alternately(
    ours: Callable[[], object], baseline: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Time two functions alternately.

    Returns
    -------
    tuple of float
        Median seconds of `ours`, of `baseline`, and the median over pairs of baseline / ours: above 1 `ours` is faster.
    """
    pairs = [(time_call(ours), time_call(baseline)) for _ in range(rounds)]
    our_median, baseline_median = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    return our_median, baseline_median, statistics.median(b / a for a, b in pairs)
