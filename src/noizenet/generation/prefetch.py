"""Playing in real time: a thread makes blocks ahead of the one that plays them, and the pace is measured."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from noizenet.audio.waveform import Waveform

GLANCE_S = 5.0


@dataclass
class Pace:
    """How fast blocks are made, over about the last five seconds of making them."""

    made_s: float = 0.0
    spent_s: float = 0.0
    first_block_s: float | None = None

    def add(self, seconds: float, spent: float) -> None:
        """Take in one block: its length, and the time that it took."""
        if self.first_block_s is None:
            self.first_block_s = spent
            return  # compilation and first touches are not the pace
        keep = max(0.0, 1 - spent / GLANCE_S)
        self.made_s, self.spent_s = self.made_s * keep + seconds, self.spent_s * keep + spent

    @property
    def real_time_factor(self) -> float:
        """Seconds of sound made in a second of making; 0 before anything is known."""
        return self.made_s / self.spent_s if self.spent_s else 0.0

    @property
    def margin(self) -> float:
        """Share of the time that is left over while playing: 0 keeps up exactly, below 0 is too slow."""
        return 1 - 1 / self.real_time_factor if self.real_time_factor else 0.0


class Prefetcher(Iterator[Waveform]):
    """Blocks of a stream, made in a thread up to `seconds` ahead.

    Parameters
    ----------
    blocks : iterator of Waveform
    seconds : float
        How much sound may lie ready.

    Attributes
    ----------
    pace : Pace

    Notes
    -----
    The compiled loops release Python's lock, so making and playing go on at the same time. An error in the making is
    raised where the blocks are taken. :meth:`close` ends the thread.
    """

    def __init__(self, blocks: Iterator[Waveform], seconds: float = 2.0) -> None:
        self.pace = Pace()
        self._blocks = blocks
        self._limit, self._lying = seconds, 0.0
        self._ready: queue.SimpleQueue[Waveform | BaseException | None] = queue.SimpleQueue()
        self._lock = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._make, name="noizenet-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Waveform:
        item = self._ready.get()
        if isinstance(item, Waveform):
            with self._lock:
                self._lying -= len(item) / item.sample_rate
                self._lock.notify()
            return item
        self._ready.put(item)  # whoever asks again is told the same
        if item is None:
            raise StopIteration
        raise item

    def ready(self) -> bool:
        """Tell whether the next block is there already."""
        return not self._ready.empty()

    def close(self) -> None:
        """Stop making blocks."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        self._thread.join()

    def _make(self) -> None:
        try:
            while True:
                with self._lock:
                    self._lock.wait_for(lambda: self._closed or self._lying < self._limit)
                    if self._closed:
                        break
                begun = time.perf_counter()
                block = next(self._blocks, None)
                if block is None:
                    break
                self.pace.add(len(block) / block.sample_rate, time.perf_counter() - begun)
                with self._lock:
                    self._lying += len(block) / block.sample_rate
                self._ready.put(block)
        except BaseException as error:
            self._ready.put(error)
        else:
            self._ready.put(None)
