"""A pool of watched processes that test inputs: after a hang, a crash or too much memory the process is replaced."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_SECONDS = 20.0
MAX_BYTES = 1_000_000_000
TMPFS = "/dev/shm"
PATIENCE = 3
"""An input that has used less than the limit of processor time may take this many times the limit of wall time, so that
a busy machine does not count as a hang."""
GRACE_S = 0.5
"""A process is not checked during this time; most inputs end sooner."""
ADDRESS_SPACE = 12 << 30
"""Limit of the address space of a process: larger requests raise MemoryError and do not exhaust the machine."""


@dataclass
class Outcome:
    """The outcome of one input.

    `seconds` is the processor time of the process and its children. `kind` is ``fine`` (accepted), ``refused`` (with one
    line), or a fault: ``traceback``, ``crash``, ``hang``, ``memory``, ``leftover`` or ``duration``.
    """

    task: Any
    kind: str
    text: str = ""
    seconds: float = 0.0
    bytes: int = 0


def run(
    setup: Callable[[], Callable[[Any], tuple[str, str]]],
    tasks: Iterable[Any],
    *,
    workers: int = 2,
    max_seconds: float = MAX_SECONDS,
    max_bytes: int = MAX_BYTES,
    patience: float = PATIENCE,
    deadline: float | None = None,
) -> Iterator[Outcome]:
    """Test every task in a pool of processes.

    Parameters
    ----------
    setup : callable
        Called once in each process; returns the function that tests one task and returns ``(kind, text)``.
    tasks : iterable
    workers : int
        Number of processes.
    max_seconds, max_bytes : float, int
        Limits for one input: processor time in seconds, and memory in bytes.
    patience : float
        Limit of the wall time, as a multiple of `max_seconds`.
    deadline : float, optional
        Value of :func:`time.monotonic` after which no task is started.

    Yields
    ------
    Outcome
        In order of completion.
    """
    pending = iter(tasks)
    pool = [_Worker(setup) for _ in range(workers)]
    try:
        busy: list[_Worker] = []
        for worker in pool:
            _next(worker, pending, busy, deadline)
        while busy:
            multiprocessing.connection.wait([w.pipe for w in busy], timeout=0.25)
            for worker in list(busy):
                outcome = worker.poll_outcome(max_seconds, max_bytes, patience)
                if outcome is not None:
                    busy.remove(worker)
                    yield outcome
                    _next(worker, pending, busy, deadline)
    finally:
        for worker in pool:
            worker.stop()


def _next(worker: _Worker, pending: Iterator[Any], busy: list[_Worker], deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        return
    with contextlib.suppress(StopIteration):
        worker.submit(next(pending))
        busy.append(worker)


class _Worker:
    def __init__(self, setup: Callable[[], Any]) -> None:
        self.setup = setup
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, self.setup), daemon=False)
        self.process.start()
        other.close()
        ready = self.pipe.poll(180) and self.pipe.recv()
        if ready != "ready":
            raise RuntimeError(f"a worker could not start: {ready}")

    def submit(self, task: Any) -> None:
        self.task, self.started = task, time.monotonic()
        self.cpu_start: float | None = None
        self.pipe.send(task)

    def poll_outcome(self, max_seconds: float, max_bytes: int, patience: float) -> Outcome | None:
        took = time.monotonic() - self.started
        try:
            if self.pipe.poll():
                kind, text, peak, seconds = self.pipe.recv()
                if peak > max_bytes and kind in ("fine", "refused"):
                    kind, text = "memory", f"{peak / 1e6:.0f} MB"
                    self._restart()
                return Outcome(self.task, kind, text, seconds, peak)
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            code = self.process.exitcode
            self._restart()
            return Outcome(self.task, "crash", f"exit code {code}", took)
        if not self.process.is_alive() or took < GRACE_S:  # the next poll of the pipe reports the end
            return None
        cpu_now = cpu_seconds(self.process.pid)
        self.cpu_start = cpu_now if self.cpu_start is None else self.cpu_start
        if took > max_seconds and (took > patience * max_seconds or cpu_now - self.cpu_start > max_seconds):
            self._restart()
            return Outcome(self.task, "hang", f"no end after {took:.0f} s", took)
        if (now := resident(self.process.pid)) > max_bytes:
            self._restart()
            return Outcome(self.task, "memory", f"{now / 1e6:.0f} MB", took, now)
        return None

    def _restart(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        import psutil

        descendants = []
        with contextlib.suppress(psutil.Error):
            descendants = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.join(10)
        for child in descendants:
            with contextlib.suppress(psutil.Error):
                child.kill()
        self.pipe.close()


def cpu_seconds(pid: int | None) -> float:
    """Return the processor time of a process and its children, in seconds."""
    return _sum_over_processes(pid, lambda process: sum(process.cpu_times()[:4]))


def resident(pid: int | None) -> int:
    """Return the resident memory of a process and its children, in bytes."""
    return int(_sum_over_processes(pid, lambda process: float(process.memory_info().rss)))


def _sum_over_processes(pid: int | None, measure: Callable[[Any], float]) -> float:
    import psutil

    total = 0.0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += measure(process)
    return total


def _serve(pipe: Any, setup: Callable[[], Any]) -> None:
    import os
    import resource
    import sys
    import tempfile

    if os.access(TMPFS, os.W_OK):  # many small, short-lived files
        tempfile.tempdir = TMPFS
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)  # decoders print warnings
    sys.stdout, sys.stderr = open(os.devnull, "w"), open(os.devnull, "w")  # noqa: SIM115, PTH123 - never closed
    try:
        attempt = setup()
    except BaseException:
        pipe.send(traceback.format_exc())
        return
    pipe.send("ready")
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        _reset_peak_memory()
        before = _cpu_seconds()
        try:
            kind, text = attempt(task)
        except BaseException as error:
            kind, text = "traceback", _describe_error(error)
        pipe.send((kind, text, _peak(), _cpu_seconds() - before))


def _describe_error(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own_frames = [f for f in frames if "noizenet" in f.filename] or frames
    frame = own_frames[-1] if own_frames else None
    location = f"{Path(frame.filename).name}:{frame.name}" if frame else "?"
    return f"{type(error).__name__} in {location}: {str(error)[:200]}"


def _cpu_seconds() -> float:
    import os

    return sum(os.times()[:4])


def _reset_peak_memory() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
