"""The harness finds what it is there to find: a watch that never barks is worth nothing."""

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


def misbehave() -> Any:
    """Return a function that does what it is told."""

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


def test_faults_are_noticed_and_the_next_input_is_tried() -> None:
    asked = ["crash", "raise", "memory", "hang", "nothing", "nothing"]
    tasks = [{"what": "test", "do": do, "bytes": 600_000_000} for do in asked]
    outcomes = workers.run(misbehave, tasks, workers=1, most_seconds=2, most_bytes=400_000_000, patience=100)
    found = {o.task["do"]: o.kind for o in outcomes}
    assert found == {"crash": "crash", "raise": "traceback", "memory": "memory", "hang": "hang", "nothing": "fine"}


def test_recipes_repeat_and_any_part_of_one_applies() -> None:
    others = {"a": bytes(range(256)) * 20, "b": b"RIFF" * 500}
    seen = set()
    for k in range(300):
        operations = mutations.draw(random.Random(k), list(others), 5_000)
        assert json.loads(json.dumps(operations)) == operations
        seen |= {o[0] for o in operations}
        once = mutations.apply(others["a"], operations, others)
        assert once == mutations.apply(others["a"], json.loads(json.dumps(operations)), others)
        for part in findings._simpler(operations):
            mutations.apply(others["a"], part, others)
    assert len(seen) == 15
    assert (
        mutations.apply(b"", [["flip", [[3, 1]]], ["keep", 4], ["lie", 2, 4, 2**64 - 1, "little"]], others) is not None
    )


def test_a_finding_is_made_smaller() -> None:
    operations = [["flip", [[1, 0], [2, 0], [700, 1]]], ["keep", 5_000], ["fill", 100, 20, 0]]
    finding = {"kind": "traceback", "text": "", "times": 1, "task": {"what": "test", "operations": operations}}
    assert findings.smaller(finding, only_700)["task"]["operations"] == [["flip", [[700, 1]]]]


def only_700() -> Any:
    """Return a function that minds one place alone."""

    def attempt(task: dict[str, Any]) -> tuple[str, str]:
        if any([700, 1] in given[0] for kind, *given in task["operations"] if kind == "flip"):
            raise ValueError("700")
        return "fine", ""

    return attempt


@pytest.mark.parametrize("name", sorted(sounds.FORMATS))
def test_good_files_are_good(name: str, tmp_path: Path) -> None:
    """What is mutated, and compared, is right to begin with."""
    kind = sounds.FORMATS[name]
    rate = 44_100 if 44_100 in kind.rates else 48_000
    assert differential.attempt({"format": name, "rate": rate, "channels": 2})[0] == "fine"
    path = tmp_path / f"x{kind.suffix}"
    sounds.write(path, kind, sounds.music(0.5, rate, 2), rate)
    assert fuzz_audio._read(path, duration=True)[0] == "fine"


def test_a_comparison_sees_what_differs() -> None:
    a = sounds.music(0.3, 44_100, 2)
    same = {"lossless": True}
    assert differential.compare(a, 44_100, a[:, ::-1], 44_100, **same) == "", "another order of channels"
    assert "samples" in differential.compare(a, 44_100, a[:-1], 44_100, **same)
    assert "dB" in differential.compare(a, 44_100, a * 0.95, 44_100, **same)
    assert "correlation" in differential.compare(a, 44_100, a + 0.05 * sounds.music(0.3, 44_100, 2, 9), 44_100, **same)
    assert "twice" in differential.compare(a, 44_100, np.repeat(a[:, :1], 2, axis=1), 44_100, **same)
    assert "channels" in differential.compare(a, 44_100, a[:, :1], 44_100, **same)


def test_the_page_is_made_from_the_results(tmp_path: Path) -> None:
    """The committed page is what the committed results give: no number in it was written by hand."""
    root = Path(report.__file__).parent.parent
    results = root / "results" / "reliability.json"
    report.write(json.loads(results.read_text()) if results.exists() else {}, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (root / "docs" / "reliability.md").read_text()


def test_earlier_runs_of_endurance_stay_on_the_page(tmp_path: Path) -> None:
    from robustness.__main__ import EARLIER, _earlier

    def run(minutes: float) -> dict[str, object]:
        figures = {f"{k}_{f}": 1.0 for k in ("play", "studio") for f in ("MB", "growth_MB", "MB_an_hour", "most_MB")}
        return {"key": {"commit": f"c{minutes:g}", "seed": 0, "count": minutes}, "ended": True, "minutes": minutes,
                "load": 1.0, "visits": 3, "visitor": "Chromium", "play_gaps": 0, "studio_gaps": None, "took_s": 9,
                "machine": {"cpu": "x", "cores": 2, "memory_GB": 9, "system": "Linux", "python": "3.11"},
                "faults": 0, **figures}  # fmt: skip

    last: dict[str, object] = {}
    for minutes in (10.0, 20.0, 30.0, 40.0):
        last = {**run(minutes), "earlier": _earlier(last)}
    report.write({"endurance": last}, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert EARLIER == 2
    assert [f"{m} minutes of both" in page for m in (40, 30, 20, 10)] == [True, True, True, False]
    assert _earlier({**last, "ended": False}) == last["earlier"]  # an unfinished run is not one


class _Writes:
    """A command that writes its result at once, and a wrong one when it is begun again after a kill in `breaks`."""

    def __init__(self, folder: Path, again: bool, breaks: bool) -> None:
        (folder / "result.txt").write_text("wrong" if again and breaks else "right")

    def wait(self, limit: float) -> int:
        assert limit >= kills.LIMIT_S
        return 0

    def said(self) -> str:
        return ""

    def kill(self) -> None:
        pass


def test_kills_go_on_where_they_were_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def made(*_: object) -> dict[str, commands.Trial]:
        def trial(name: str) -> commands.Trial:
            def start(folder: Path, again: bool, own: bool) -> _Writes:
                begun.append(folder.name)
                return _Writes(folder, again, breaks=folder.name == "train 1")

            return commands.Trial(start, lambda folder: {"result": (folder / "result.txt").read_text()})

        return {name: trial(name) for name in kills.SHARES}

    @contextlib.contextmanager
    def server(_: Path) -> Iterator[tuple[dict[str, str], str]]:
        yield {}, ""

    monkeypatch.setattr(kills, "trials", made)
    monkeypatch.setattr(kills, "archives", server)
    monkeypatch.setattr(kills.material, "album", lambda folder: folder)
    monkeypatch.setattr(kills, "SLOWER", 1.0)
    whole = kills.run(tmp_path, 12, 0)
    assert whole["total"] == 12
    assert whole["faults_by_command"] == {"train": 1}

    kept: list[str] = []

    def ended_early(found: dict[str, Any]) -> None:
        kept.append(json.dumps(found))
        if len(kept) == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kills.run(tmp_path, 12, 0, None, ended_early)
    first = json.loads(kept[-1])
    assert first["total"] == 9
    begun.clear()
    second = kills.run(tmp_path, 12, 0, first)
    assert {k: v for k, v in second.items() if k != "findings"} == {k: v for k, v in whole.items() if k != "findings"}
    assert [f["text"] for f in second["findings"]] == [f["text"] for f in whole["findings"]]
    assert not [name for name in begun if name.startswith(("corpus", "generate"))]
