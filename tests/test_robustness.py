"""The robustness harness detects the faults that it looks for."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustness import commands, differential, findings, fuzz_audio, kills, mutations, report, sounds, workers


def make_faulty_attempt() -> Any:
    """Return a function that fails in the way its task asks for."""

    def attempt(task: dict[str, Any]) -> tuple[str, str]:
        if task["do"] == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif task["do"] == "hang":
            while True:
                sum(range(1000))
        elif task["do"] == "memory":
            np.ones(task["bytes"] // 8)
        elif task["do"] == "raise":
            raise KeyError("x")
        return "fine", ""

    return attempt


def test_faults_are_detected_and_the_run_continues() -> None:
    actions = ["crash", "raise", "memory", "hang", "nothing", "nothing"]
    tasks = [{"what": "test", "do": do, "bytes": 600_000_000} for do in actions]
    outcomes = workers.run(make_faulty_attempt, tasks, workers=1, max_seconds=2, max_bytes=400_000_000, patience=100)
    found = {o.task["do"]: o.kind for o in outcomes}
    assert found == {"crash": "crash", "raise": "traceback", "memory": "memory", "hang": "hang", "nothing": "fine"}


def test_recipes_are_reproducible_and_reducible() -> None:
    others = {"a": bytes(range(256)) * 20, "b": b"RIFF" * 500}
    seen = set()
    for k in range(300):
        operations = mutations.draw(random.Random(k), list(others), 5_000)
        assert json.loads(json.dumps(operations)) == operations
        seen |= {o[0] for o in operations}
        once = mutations.apply(others["a"], operations, others)
        assert once == mutations.apply(others["a"], json.loads(json.dumps(operations)), others)
        for part in findings._reductions(operations):
            mutations.apply(others["a"], part, others)
    assert len(seen) == 15
    assert (
        mutations.apply(b"", [["flip", [[3, 1]]], ["keep", 4], ["lie", 2, 4, 2**64 - 1, "little"]], others) is not None
    )


def test_a_finding_is_minimised() -> None:
    operations = [["flip", [[1, 0], [2, 0], [700, 1]]], ["keep", 5_000], ["fill", 100, 20, 0]]
    finding = {"kind": "traceback", "text": "", "times": 1, "task": {"what": "test", "operations": operations}}
    assert findings.minimise(finding, make_attempt_that_fails_at_700)["task"]["operations"] == [["flip", [[700, 1]]]]


def make_attempt_that_fails_at_700() -> Any:
    """Return a function that fails at one position only."""

    def attempt(task: dict[str, Any]) -> tuple[str, str]:
        if any([700, 1] in given[0] for kind, *given in task["operations"] if kind == "flip"):
            raise ValueError("700")
        return "fine", ""

    return attempt


@pytest.mark.parametrize("name", sorted(sounds.FORMATS))
def test_the_generated_files_are_valid(name: str, tmp_path: Path) -> None:
    """The files that are mutated and compared are valid before."""
    kind = sounds.FORMATS[name]
    rate = 44_100 if 44_100 in kind.rates else 48_000
    assert differential.attempt({"format": name, "rate": rate, "channels": 2})[0] == "fine"
    path = tmp_path / f"x{kind.suffix}"
    sounds.write(path, kind, sounds.music(0.5, rate, 2), rate)
    assert fuzz_audio._read(path, duration=True)[0] == "fine"


def test_a_comparison_detects_differences() -> None:
    a = sounds.music(0.3, 44_100, 2)
    same = {"lossless": True}
    assert differential.compare(a, 44_100, a[:, ::-1], 44_100, **same) == "", "another order of channels"
    assert "samples" in differential.compare(a, 44_100, a[:-1], 44_100, **same)
    assert "dB" in differential.compare(a, 44_100, a * 0.95, 44_100, **same)
    assert "correlation" in differential.compare(a, 44_100, a + 0.05 * sounds.music(0.3, 44_100, 2, 9), 44_100, **same)
    assert "twice" in differential.compare(a, 44_100, np.repeat(a[:, :1], 2, axis=1), 44_100, **same)
    assert "channels" in differential.compare(a, 44_100, a[:, :1], 44_100, **same)


def test_the_page_matches_the_results(tmp_path: Path) -> None:
    """The committed page equals the one written from the committed results."""
    root = Path(report.__file__).parent.parent
    results = root / "results" / "reliability.json"
    report.write(json.loads(results.read_text()) if results.exists() else {}, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (root / "docs" / "reliability.md").read_text()


def test_earlier_runs_of_endurance_stay_on_the_page(tmp_path: Path) -> None:
    from robustness.__main__ import EARLIER, _earlier_runs

    def run(minutes: float) -> dict[str, object]:
        figures = {f"{k}_{f}": 1.0 for k in ("play", "studio") for f in ("MB", "growth_MB", "MB_an_hour", "most_MB")}
        return {"key": {"commit": f"c{minutes:g}", "seed": 0, "count": minutes}, "ended": True, "minutes": minutes,
                "load": 1.0, "visits": 3, "visitor": "Chromium", "play_gaps": 0, "studio_gaps": None, "took_s": 9,
                "machine": {"cpu": "x", "cores": 2, "memory_GB": 9, "system": "Linux", "python": "3.11"},
                "faults": 0, **figures}  # fmt: skip

    last: dict[str, object] = {}
    for minutes in (10.0, 20.0, 30.0, 40.0):
        last = {**run(minutes), "earlier": _earlier_runs(last)}
    report.write({"endurance": last}, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert EARLIER == 2
    assert [f"for {m} minutes on" in page for m in (40, 30, 20, 10)] == [True, True, True, False]
    assert _earlier_runs({**last, "ended": False}) == last["earlier"]  # an unfinished run is not one


class _FakeCommand:
    """A command that writes its result at once; a wrong one when it is restarted and `breaks`."""

    def __init__(self, folder: Path, again: bool, breaks: bool) -> None:
        (folder / "result.txt").write_text("wrong" if again and breaks else "right")

    def wait(self, limit: float) -> int:
        assert limit >= kills.LIMIT_S
        return 0

    def output(self) -> str:
        return ""

    def kill(self) -> None:
        pass


def test_interrupted_kills_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def make_trials(*_: object) -> dict[str, commands.Trial]:
        def trial(name: str) -> commands.Trial:
            def start(folder: Path, again: bool, own: bool) -> _FakeCommand:
                started.append(folder.name)
                return _FakeCommand(folder, again, breaks=folder.name == "train 1")

            return commands.Trial(start, lambda folder: {"result": (folder / "result.txt").read_text()})

        return {name: trial(name) for name in kills.SHARES}

    @contextlib.contextmanager
    def server(_: Path) -> Iterator[tuple[dict[str, str], str]]:
        yield {}, ""

    monkeypatch.setattr(kills, "trials", make_trials)
    monkeypatch.setattr(kills, "archives", server)
    monkeypatch.setattr(kills.material, "album", lambda folder: folder)
    monkeypatch.setattr(kills, "SLOWER", 1.0)
    complete = kills.run(tmp_path, 12, 0)
    assert complete["total"] == 12
    assert complete["faults_by_command"] == {"train": 1}

    saved: list[str] = []

    def interrupt(found: dict[str, Any]) -> None:
        saved.append(json.dumps(found))
        if len(saved) == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kills.run(tmp_path, 12, 0, None, interrupt)
    first = json.loads(saved[-1])
    assert first["total"] == 9
    started.clear()
    second = kills.run(tmp_path, 12, 0, first)
    assert {k: v for k, v in second.items() if k != "findings"} == {
        k: v for k, v in complete.items() if k != "findings"
    }
    assert [f["text"] for f in second["findings"]] == [f["text"] for f in complete["findings"]]
    assert not [name for name in started if name.startswith(("corpus", "generate"))]
