"""One measured figure and how it is taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure with its target; `higher` tells which way is better."""

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


def clock(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Time two pieces of work alternately.

    Returns
    -------
    tuple of float
        Median seconds of ours, of theirs, and the median of theirs / ours pair by pair: above 1 we are faster.
    """
    pairs = [(clock(ours), clock(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    return mine, other, statistics.median(b / a for a, b in pairs)
