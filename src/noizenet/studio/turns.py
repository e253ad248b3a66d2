"""Whose turn it is: what takes seconds never holds up what takes none, and few wait for what takes long.

Routes share some forty threads, and sound is made in two. Work that takes long is kept off both: it has threads of its
own, or few places to wait in.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from noizenet.studio.refusals import RefusedError

Result = TypeVar("Result")

MOST_HEAVY = 6
"""Requests that do heavy work or wait for it; the others' threads stay free."""

BUILDERS = 2
SMALL_BYTES = 8 << 20
"""Uploads up to this size do not wait for larger ones."""

QUICK_S = 6.0
"""Time for one of those; a small file may hold hours of silence, and goes on among the large ones then."""


class Heavy:
    """A lock for what needs much memory, with few places before it.

    Parameters
    ----------
    most : int
        Who may hold it or wait for it; others are refused at once.
    """

    def __init__(self, most: int = MOST_HEAVY) -> None:
        self._places, self._turn = threading.BoundedSemaphore(most), threading.Lock()

    def __enter__(self) -> None:
        """Wait for the turn.

        Raises
        ------
        RefusedError
            If there are as many who wait as may.
        """
        if not self._places.acquire(blocking=False):
            raise RefusedError("the studio is busy with other music; try again in a minute", 503)
        self._turn.acquire()

    def __exit__(self, *_: object) -> None:
        """Let the next one in."""
        self._turn.release()
        self._places.release()


class Lanes:
    """Threads in which one kind of work is done, the short apart from the long.

    Parameters
    ----------
    name : str
    short, long : int
        Threads of each.
    """

    def __init__(self, name: str, short: int, long: int) -> None:
        self._short = ThreadPoolExecutor(short, f"noizenet-{name}")
        self._long = ThreadPoolExecutor(long, f"noizenet-long-{name}")

    def submit(self, work: Callable[[], Any]) -> None:
        """Do short work for which nobody waits."""
        self._short.submit(work)

    async def run(self, long: bool, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do work in its turn and return what it returns."""
        pool = self._long if long else self._short
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    def close(self) -> None:
        """Let go of the threads; what waits is not done."""
        for pool in (self._short, self._long):
            pool.shutdown(wait=False, cancel_futures=True)
