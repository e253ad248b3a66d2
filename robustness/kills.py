"""SIGKILL at random moments: after a restart the result must equal that of an uninterrupted run, without partial files.

Commands are forked from a process that has already loaded the libraries, so that kills hit the work and not the imports;
one in ten is a separate process.
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
"""Number of kills of each command, out of 200."""
SEPARATE_EVERY = 10
FEW = 50
"""From this number of kills on, a second reference run checks that uninterrupted runs are equal."""
LIMIT_S = 300.0
"""Time limit of a command; of a restart, also :data:`SLOWER` times the reference run's time."""
SLOWER = 5.0


def run(
    fixtures: Path,
    count: int,
    seed: int,
    partial_results: dict[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Kill `count` commands; return counts and findings.

    Parameters
    ----------
    fixtures : Path
        Folder of the models and corpora.
    count, seed : int
    partial_results : dict, optional
        Figures of an interrupted run, which is continued.
    save : callable
        Called with the figures after each kill.
    """
    import torch

    import noizenet.api
    import noizenet.cli.main  # noqa: F401 - loaded once, before commands are forked

    torch.set_num_threads(1)
    previous = partial_results or {}
    kills, findings = dict(previous.get("kills", {})), list(previous.get("findings", []))
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as scratch, archives(fixtures) as server:
        album = material.album(Path(scratch) / "album")
        for name, trial in trials(fixtures, album, server).items():
            n_kills = max(1, round(count * SHARES[name] / sum(SHARES.values())))
            if kills.get(name, 0) >= n_kills:
                continue
            problem = _reference_run(trial, Path(scratch) / f"{name} reference", 2 if count >= FEW else 1)
            if problem:
                findings.append({"command": name, "text": f"reference run: {problem}"})
                continue
            for k in range(kills.get(name, 0), n_kills):
                problems, moment = _kill(trial, Path(scratch) / f"{name} {k}", random.Random(f"{seed} kill {name} {k}"))
                kills[name] = k + 1
                findings += [{"command": name, "moment_s": moment, "text": text} for text in problems]
                save(_figures(kills, findings))
    return _figures(kills, findings)


def _figures(kills: dict[str, int], findings: list[dict[str, Any]]) -> dict[str, Any]:
    by_command = Counter(f["command"] for f in findings)
    return {"kills": kills, "total": sum(kills.values()), "faults": len(findings),
            "faults_by_command": dict(by_command), "findings": findings}  # fmt: skip


def _reference_run(trial: Trial, folder: Path, times: int) -> str:
    for attempt in range(1, times + 1):  # the first run may compile; the second is timed
        folder.mkdir()
        trial.prepare(folder)
        started = time.monotonic()
        output = _finish(trial.start(folder, False, False), SLOWER * LIMIT_S)
        trial.seconds = time.monotonic() - started
        if output:
            return output
        result = trial.result(folder)
        if attempt == 2 and (difference := _first_difference(trial.expected, result)):
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
        running = trial.start(folder, k > 0, rng.randrange(SEPARATE_EVERY) == 0)
        moment = rng.uniform(0.0, 1.05) * trial.seconds
        time.sleep(moment)
        running.kill()
    problems = [f"visible but incomplete: {p}" for p in _incomplete_files(folder)]
    output = _finish(trial.start(folder, True, False), max(LIMIT_S, SLOWER * trial.seconds))
    if output:
        problems.append(f"the restart fails: {output}")
    else:
        difference = _first_difference(trial.expected, trial.result(folder))
        if difference:
            problems.append(f"different result: {difference}")
        left = sorted(p.name for p in folder.rglob("*") if ".part" in p.name)
        problems += [f"left behind: {re.sub('[0-9a-f]{12}', '#', left[0])} ({len(left)} in all)"] if left else []
    shutil.rmtree(folder, ignore_errors=True)
    return problems, round(moment, 3)


def _incomplete_files(folder: Path) -> list[str]:
    """Return the visible files that cannot be read completely."""
    incomplete = []
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
                        incomplete.append(str(path.name))
        except Exception as error:
            incomplete.append(f"{path.name} ({error})"[:150])
    return incomplete


def _first_difference(expected: dict[str, str], found: dict[str, str]) -> str:
    differences = sorted(set(expected.items()) ^ set(found.items()))
    return f"{differences[0][0]} (and {len(differences) - 1} more)" if differences else ""


def _finish(running: Any, limit: float) -> str:
    """Wait for a command; return its output if it failed."""
    code = running.wait(limit)
    output = running.output()
    running.kill()
    return "" if code == 0 else f"exit code {code}: {output[-300:].strip()}"
