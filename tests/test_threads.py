"""The number of training threads follows the load of the machine, unless a run must be repeatable."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from conftest import QUICK
from hypothesis import given
from hypothesis import strategies as st

from noizenet.corpus.corpus import Corpus
from noizenet.training import threads as module
from noizenet.training.loop import train
from noizenet.training.options import configure
from noizenet.training.plan import Budget, Progress
from noizenet.training.threads import Cores, ThreadCount, cores, measure


@pytest.fixture(autouse=True)
def one_thread_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


def computer(
    count: int, others: Callable[[int], float], threads: Callable[[], int], every: float = 10.0
) -> Callable[[], Cores]:
    """Return a reader of simulated counters; each call is `every` seconds after the one before."""
    wall = process = idle = 0.0
    turns = itertools.count()

    def read() -> Cores:
        nonlocal wall, process, idle
        turn = next(turns)
        if turn:
            busy, ours = others(turn), threads()
            # If there are too few cores, they are divided in proportion to the threads.
            share = min(1.0, count / (busy + ours))
            process, idle = process + every * ours * share, idle + every * max(0.0, count - busy - ours)
        wall += every
        return Cores(time.monotonic() - 1e6 + wall, process, idle, count * wall)

    return read


def counts(cores_: int, others: Callable[[int], float], turns: int = 12, every: float = 10.0) -> list[int]:
    found: list[int] = []
    reader = computer(cores_, others, lambda: threads.count, every)
    threads = ThreadCount(cores_, adaptive=True, reader=reader)
    with threads:
        for _ in range(turns):
            threads.adapt()
            assert torch.get_num_threads() == threads.count
            found.append(threads.count)
    return found


@pytest.mark.parametrize(
    ("cores_", "busy", "left"), [(2, 1, 1), (2, 2, 1), (2, 6, 1), (4, 1, 3), (8, 3, 5), (16, 0.2, 16)]
)
def test_each_thread_has_a_core(cores_: int, busy: float, left: int) -> None:
    found = counts(cores_, lambda _: busy)
    assert found[-1] == left
    assert len(set(found[3:])) == 1  # it does not oscillate


@pytest.mark.parametrize("cores_", [2, 4, 8])
def test_free_cores_are_taken_again(cores_: int) -> None:
    found = counts(cores_, lambda turn: cores_ - 1.0 if turn < 6 else 0.0, 20)
    assert found[4] < cores_
    assert found[-1] == cores_


def test_short_loads_of_other_programs_are_ignored() -> None:
    assert counts(2, lambda turn: 2.0 * (turn % 3 == 0), every=1.0) == [2] * 12
    assert counts(2, lambda turn: 2.0 * (turn > 3), every=1.0)[4:] == [1] * 8
    assert counts(2, lambda turn: 2.0 * (turn == 3), every=3.0)[2:5] == [1, 2, 2]  # one long step is enough


@given(st.integers(2, 64), st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_the_number_is_between_one_and_the_requested_one(cores_: int, busy: list[float]) -> None:
    found = counts(cores_, lambda turn: busy[turn % len(busy)], len(busy))
    assert all(1 <= n <= cores_ for n in found)


def test_a_repeatable_run_keeps_its_number() -> None:
    for most, adaptive in ((2, False), (1, True)):
        with ThreadCount(most, adaptive=adaptive, reader=computer(2, lambda _: 2, lambda: 2)) as threads:
            for _ in range(5):
                threads.adapt()
                assert torch.get_num_threads() == most


def test_a_system_without_figures_changes_nothing() -> None:
    wall = itertools.count(0.0, 10.0)
    with ThreadCount(2, adaptive=True, reader=lambda: Cores(next(wall) - 1e6, 0.0, 0.0, 0.0)) as threads:
        for _ in range(5):
            threads.adapt()
        assert threads.count == 2


def test_the_counters_are_read() -> None:
    before = measure()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    after = measure()
    assert after.process - before.process >= 0.3
    assert after.wall - before.wall >= 0.25
    assert after.all - before.all == pytest.approx(cores() * (after.wall - before.wall), rel=0.3, abs=0.2)
    assert 0 <= after.idle - before.idle <= after.all - before.all
    assert 1 <= cores() <= psutil.cpu_count()


@pytest.mark.parametrize(
    ("budget", "sets", "expected"),
    [(Budget(minutes=0.04), "training.threads=0", 1), (Budget(minutes=0.03), "training.threads=3", 3),
     (Budget(epochs=0.1), "training.threads=0", 3)],
)  # fmt: skip
def test_a_run_by_minutes_adapts_its_threads(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: Budget, sets: str, expected: int
) -> None:
    monkeypatch.setattr(module, "cores", lambda: 3)
    monkeypatch.setattr(module, "CHECK_EVERY_S", 0.0)
    at = iter(range(100_000))
    monkeypatch.setattr(
        module, "measure", lambda: Cores(t := next(at), t, 0.0, 3 * t)
    )  # this process has one core, others have two
    seen: list[int] = []

    def look(_: Progress) -> None:
        seen.append(torch.get_num_threads())

    train(corpus, tmp_path / "m", configure("paper-lstm", None, (*QUICK, sets)), budget, on_progress=look)
    assert seen[-1] == expected
