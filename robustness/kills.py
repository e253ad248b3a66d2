"""SIGKILL at random moments: after a restart the result is that of an undisturbed run, and nothing half-written stays.

Commands are forked from a process that has loaded the libraries, so the moments fall into the work and not into the
loading; one in ten is a process of its own.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustness import material
from robustness.commands import Trial, archives, trials

SHARES = {"corpus build": 50, "generate": 50, "corpus fetch": 40, "train": 35, "evaluate": 15, "studio": 10}
"""Kills of each command, of 200."""
OWN_PROCESS = 10
FEW = 50
"""Of fewer kills one undisturbed run is enough; of more, a second one shows that runs are equal at all."""
LIMIT_S = 300.0
"""A command that has not ended by then hangs; a restart may also take :data:`SLOWER` times an undisturbed run's time."""
SLOWER = 5.0


def run(
    made: Path,
    count: int,
    seed: int,
    begun: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Kill `count` commands; return counts and findings.

    Parameters
    ----------
    made : Path
        Where the models and corpora lie.
    count, seed : int
    begun : dict, optional
        The figures of a run that was ended early: it goes on there.
    keep : callable
        Is given the figures after each kill.
    """
    import torch

    import noizenet.api
    import noizenet.cli.main  # noqa: F401 - loaded once, before commands are forked

    torch.set_num_threads(1)
    found = _figures(dict((begun or {}).get("kills", {})), list((begun or {}).get("findings", [])))
    kills, findings = found["kills"], found["findings"]
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as place, archives(made) as server:
        album = material.album(Path(place) / "album")
        for name, trial in trials(made, album, server).items():
            wanted = max(1, round(count * SHARES[name] / sum(SHARES.values())))
            if kills.get(name, 0) >= wanted:
                continue
            problem = _undisturbed(trial, Path(place) / f"{name} undisturbed", 2 if count >= FEW else 1)
            if problem:
                findings.append({"command": name, "text": f"undisturbed: {problem}"})
                continue
            for k in range(kills.get(name, 0), wanted):
                problems, moment = _kill(trial, Path(place) / f"{name} {k}", random.Random(f"{seed} kill {name} {k}"))
                kills[name] = k + 1
                findings += [{"command": name, "moment_s": moment, "text": text} for text in problems]
                keep(_figures(kills, findings))
    return _figures(kills, findings)


def _figures(kills: dict[str, int], findings: list[dict[str, Any]]) -> dict[str, Any]:
    by_command = Counter(f["command"] for f in findings)
    return {"kills": kills, "total": sum(kills.values()), "faults": len(findings),
            "faults_by_command": dict(by_command), "findings": findings}  # fmt: skip


def _undisturbed(trial: Trial, folder: Path, times: int) -> str:
    for attempt in range(1, times + 1):  # the first may compile; the second tells how long it takes
        folder.mkdir()
        trial.prepare(folder)
        begun = time.monotonic()
        said = _finish(trial.start(folder, False, False), SLOWER * LIMIT_S)
        trial.seconds = time.monotonic() - begun
        if said:
            return said
        result = trial.result(folder)
        if attempt == 2 and (difference := _differ(trial.expected, result)):
            return f"two runs differ: {difference}"
        trial.expected = result
        shutil.rmtree(folder)
    return ""


def _kill(trial: Trial, folder: Path, rng: random.Random) -> tuple[list[str], float]:
    folder.mkdir()
    trial.prepare(folder)
    times = rng.choice((1, 1, 2))
    moment = 0.0
    for k in range(times):
        running = trial.start(folder, k > 0, rng.randrange(OWN_PROCESS) == 0)
        moment = rng.uniform(0.0, 1.05) * trial.seconds
        time.sleep(moment)
        running.kill()
    problems = [f"half-written and visible: {p}" for p in _torn(folder)]
    said = _finish(trial.start(folder, True, False), max(LIMIT_S, SLOWER * trial.seconds))
    if said:
        problems.append(f"the restart fails: {said}")
    else:
        difference = _differ(trial.expected, trial.result(folder))
        if difference:
            problems.append(f"another result: {difference}")
        left = sorted(p.name for p in folder.rglob("*") if ".part" in p.name)
        problems += [f"left behind: {re.sub('[0-9a-f]{12}', '#', left[0])} ({len(left)} in all)"] if left else []
    shutil.rmtree(folder, ignore_errors=True)
    return problems, round(moment, 3)


def _torn(folder: Path) -> list[str]:
    """Return visible files that cannot be read whole."""
    torn = []
    for path in folder.rglob("*"):
        hidden = path.name.startswith(".") or path.name.endswith(".partial") or "download" in path.parts
        if not path.is_file() or hidden or ".part" in path.name:
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".safetensors":
                from safetensors import safe_open

                with safe_open(str(path), "np") as handle:
                    list(handle.keys())
            elif path.suffix == ".wav":
                import soundfile

                with soundfile.SoundFile(path) as sound:
                    if len(sound.read()) != sound.frames:
                        torn.append(str(path.name))
        except Exception as error:
            torn.append(f"{path.name} ({error})"[:150])
    return torn


def _differ(expected: dict[str, str], found: dict[str, str]) -> str:
    wrong = sorted(set(expected.items()) ^ set(found.items()))
    return f"{wrong[0][0]} (and {len(wrong) - 1} more)" if wrong else ""


def _finish(running: Any, limit: float) -> str:
    """Wait for a command; return what it said if it failed."""
    code = running.wait(limit)
    said = running.said()
    running.kill()
    return "" if code == 0 else f"exit code {code}: {said[-300:].strip()}"
