"""Number of training threads: one per core that no other program uses."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import psutil
import torch

CHECK_EVERY_S = 1.0
RELEASE_MARGIN, TAKE_MARGIN = 0.5, 0.75
"""A thread is released if more than half a core is missing for it, and added if most of a core is free."""
RELEASE_AFTER_S = 1.8
"""Duration of a shortage before a thread is released: short loads of other programs are ignored."""
MIN_ACCOUNTED = 0.5
"""Least share of the cores' time that the system must account for; otherwise its figures are not used."""


class Cores(NamedTuple):
    """Counters in seconds: wall clock, CPU time of this process, idle time and total time of the cores."""

    wall: float
    process: float
    idle: float
    all: float


def cores() -> int:
    """Return the number of cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def measure() -> Cores:
    """Read the counters of the cores that this process may use."""
    each = psutil.cpu_times(percpu=True)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(each))
    used = [each[k] for k in allowed if k < len(each)]
    idle = sum(core.idle + getattr(core, "iowait", 0.0) for core in used)
    return Cores(time.monotonic(), time.process_time(), idle, sum(map(sum, used)))


class ThreadCount:
    """Context manager that sets torch's number of threads during a training.

    Threads of one operation wait for one another. If another process occupies the core of one of them, all wait, and
    two threads are slower than one. So the number is adapted to the cores that are idle or used by this process. It
    affects rounding, so a run that must be repeatable keeps its number.

    Parameters
    ----------
    most : int
        Initial and largest number of threads; 0: one per core.
    adaptive : bool
        Whether the number follows the load of other programs.
    reader : callable, optional
        Returns :class:`Cores`; :func:`measure` by default.
    """

    def __init__(self, most: int, *, adaptive: bool, reader: Callable[[], Cores] | None = None) -> None:
        self._max = most or cores()
        self._adaptive = adaptive and self._max > 1
        self._read = reader or measure
        self.count = self._max
        self._shortage_s = 0.0

    def __enter__(self) -> ThreadCount:
        self._before = torch.get_num_threads()
        torch.set_num_threads(self.count)
        self._last = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)

    def adapt(self) -> None:
        """Adapt the number of threads if a check is due. Called at each step."""
        if not self._adaptive or time.monotonic() - self._last.wall < CHECK_EVERY_S:
            return
        before, self._last = self._last, self._read()
        wanted = self._wanted(before, self._last)
        if wanted != self.count:
            self.count = wanted
            torch.set_num_threads(wanted)

    def _wanted(self, before: Cores, now: Cores) -> int:
        wall, process, idle, total = (b - a for a, b in zip(before, now, strict=True))
        if wall <= 0 or total < MIN_ACCOUNTED * wall * self._max:
            return self.count  # the system reports no usable figures
        free = (process + idle) / wall
        self._shortage_s = self._shortage_s + wall if free < self.count - RELEASE_MARGIN else 0.0
        if self._shortage_s >= RELEASE_AFTER_S:
            return max(1, math.floor(free + RELEASE_MARGIN))
        if free > self.count + TAKE_MARGIN:
            return min(self._max, math.floor(free + 1 - TAKE_MARGIN))
        return self.count
