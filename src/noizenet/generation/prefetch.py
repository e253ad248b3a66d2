"""Real-time playback: a thread generates blocks ahead of the consumer and measures the speed of generation."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from noizenet.audio.waveform import Waveform

AVERAGING_S = 5.0


@dataclass
class Pace:
    """Speed of generation, averaged over about the last five seconds of computing."""

    made_s: float = 0.0
    spent_s: float = 0.0
    first_block_s: float | None = None

    def add(self, seconds: float, spent: float) -> None:
        """Add one block: its length and its time of computing, in seconds."""
        if self.first_block_s is None:
            self.first_block_s = spent
            return  # includes compilation and first memory accesses
        keep = max(0.0, 1 - spent / AVERAGING_S)
        self.made_s, self.spent_s = self.made_s * keep + seconds, self.spent_s * keep + spent

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio generated in a second of computing; 0 before the second block."""
        return self.made_s / self.spent_s if self.spent_s else 0.0

    @property
    def margin(self) -> float:
        """Idle share of the time during playback: 0 is exactly real time, below 0 is too slow."""
        return 1 - 1 / self.real_time_factor if self.real_time_factor else 0.0


class Prefetcher(Iterator[Waveform]):
    """Iterator over the blocks of a stream, which a thread generates up to `seconds` ahead.

    Parameters
    ----------
    blocks : iterator of Waveform
    seconds : float
        Size of the buffer. The thread waits while the buffer holds this much audio.

    Attributes
    ----------
    pace : Pace

    Notes
    -----
    The compiled kernels release Python's global lock, so that generation and playback run in parallel. An error of the
    thread is raised in the consumer. :meth:`close` ends the thread.
    """

    def __init__(self, blocks: Iterator[Waveform], seconds: float = 2.0) -> None:
        self.pace = Pace()
        self._blocks = blocks
        self._limit, self._buffered = seconds, 0.0  # seconds
        self._ready: queue.SimpleQueue[Waveform | BaseException | None] = queue.SimpleQueue()
        self._lock = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._produce, name="noizenet-prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Waveform:
        item = self._ready.get()
        if isinstance(item, Waveform):
            with self._lock:
                self._buffered -= len(item) / item.sample_rate
                self._lock.notify()
            return item
        self._ready.put(item)  # later calls end in the same way
        if item is None:
            raise StopIteration
        raise item

    def ready(self) -> bool:
        """Return whether the next block is available without waiting."""
        return not self._ready.empty()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        self._thread.join()

    def _produce(self) -> None:
        try:
            while True:
                with self._lock:
                    self._lock.wait_for(lambda: self._closed or self._buffered < self._limit)
                    if self._closed:
                        break
                started = time.perf_counter()
                block = next(self._blocks, None)
                if block is None:
                    break
                self.pace.add(len(block) / block.sample_rate, time.perf_counter() - started)
                with self._lock:
                    self._buffered += len(block) / block.sample_rate
                self._ready.put(block)
        except BaseException as error:
            self._ready.put(error)
        else:
            self._ready.put(None)
