"""How many threads train: as many as there are cores that nobody else uses."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import psutil
import torch

LOOK_EVERY_S = 1.0
LESS, MORE = 0.5, 0.75
"""A thread is given up where more than half a core is missing for it, taken where most of one is free."""
SURE_S = 1.8
"""It is given up when the core has been missing for so long; a moment's work of others is not worth it."""
COUNTED = 0.5
"""Share of the time of all cores that the system must account for, or its figures are not used."""


class Cores(NamedTuple):
    """Seconds since some beginning: on the wall, of this process, of idle cores, and of all cores whatever they did."""

    wall: float
    own: float
    idle: float
    all: float


def cores() -> int:
    """Return how many cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # neither macOS nor Windows has it
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def measure() -> Cores:
    """Read how the cores that this process may use have spent their time."""
    each = psutil.cpu_times(percpu=True)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(each))
    used = [each[k] for k in allowed if k < len(each)]
    idle = sum(core.idle + getattr(core, "iowait", 0.0) for core in used)
    return Cores(time.monotonic(), time.process_time(), idle, sum(map(sum, used)))


class ThreadCount:
    """Torch's number of threads while a network is trained, and what it was before afterwards.

    Threads of one operation wait for one another. Where another process has the core of one of them, all others wait,
    and two threads are slower than one. So the cores that are idle or ours are counted now and then, and each thread
    has one. Sums over threads are rounded otherwise with another number of them, so a run that must be repeatable keeps
    its number.

    Parameters
    ----------
    most : int
        The number of threads to begin with; 0: one per core.
    adaptive : bool
        Whether it changes with what else the computer does.
    reader : callable, optional
        Returns :class:`Cores`; :func:`measure` by default.
    """

    def __init__(self, most: int, *, adaptive: bool, reader: Callable[[], Cores] | None = None) -> None:
        self._most = most or cores()
        self._adaptive = adaptive and self._most > 1
        self._read = reader or measure
        self.count = self._most
        self._short_s = 0.0

    def __enter__(self) -> ThreadCount:
        self._before = torch.get_num_threads()
        torch.set_num_threads(self.count)
        self._seen = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)

    def adapt(self) -> None:
        """Look at what else the computer does, where it is time, and take or give up threads. Called at each step."""
        if not self._adaptive or time.monotonic() - self._seen.wall < LOOK_EVERY_S:
            return
        before, self._seen = self._seen, self._read()
        wanted = self._wanted(before, self._seen)
        if wanted != self.count:
            self.count = wanted
            torch.set_num_threads(wanted)

    def _wanted(self, before: Cores, now: Cores) -> int:
        wall, own, idle, everything = (b - a for a, b in zip(before, now, strict=True))
        if wall <= 0 or everything < COUNTED * wall * self._most:
            return self.count  # a system that does not say
        free = (own + idle) / wall
        self._short_s = self._short_s + wall if free < self.count - LESS else 0.0
        if self._short_s >= SURE_S:
            return max(1, math.floor(free + LESS))
        if free > self.count + MORE:
            return min(self._most, math.floor(free + 1 - MORE))
        return self.count
