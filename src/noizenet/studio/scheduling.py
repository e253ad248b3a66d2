"""Scheduling: long tasks do not block short ones, and few requests wait for a long task.

Routes share some forty threads, and audio is rendered in two. Long tasks block neither: they have separate threads, or
a limited number of waiting requests.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from noizenet.studio.refusals import RefusedError

Result = TypeVar("Result")

MAX_HEAVY_REQUESTS = 6
"""Requests that do heavy work or wait for it; more are refused, so that other threads stay free."""

BUILDER_THREADS = 2
SMALL_UPLOAD_BYTES = 8 << 20
"""Uploads up to this size do not wait for larger ones."""

SMALL_UPLOAD_TIMEOUT_S = 6.0
"""Time to decode one; a small file may contain hours of silence, and is then handled as a large one."""


class HeavyWorkLock:
    """A lock for memory-intensive work, with a limited number of waiting threads.

    Parameters
    ----------
    limit : int
        Threads that may hold the lock or wait for it; others are refused at once.
    """

    def __init__(self, limit: int = MAX_HEAVY_REQUESTS) -> None:
        self._slots, self._lock = threading.BoundedSemaphore(limit), threading.Lock()

    def __enter__(self) -> None:
        """Acquire the lock.

        Raises
        ------
        RefusedError
            If too many threads wait already.
        """
        if not self._slots.acquire(blocking=False):
            raise RefusedError("the studio is busy with other requests; try again in a minute", 503)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self._lock.release()
        self._slots.release()


class WorkerPools:
    """Two thread pools for one kind of work: one for short tasks, one for long tasks.

    Parameters
    ----------
    name : str
    short, long : int
        Number of threads of each pool.
    """

    def __init__(self, name: str, short: int, long: int) -> None:
        self._short = ThreadPoolExecutor(short, f"noizenet-{name}")
        self._long = ThreadPoolExecutor(long, f"noizenet-long-{name}")

    def submit(self, work: Callable[[], Any]) -> None:
        """Run a short task in the background."""
        self._short.submit(work)

    async def run(self, long: bool, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run a task in its pool and return its result."""
        pool = self._long if long else self._short
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    def close(self) -> None:
        """Shut down the threads; waiting tasks are cancelled."""
        for pool in (self._short, self._long):
            pool.shutdown(wait=False, cancel_futures=True)
