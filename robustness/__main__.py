"""Run the harness: ``python -m robustness [--short] [--only STAGE …] [--seed N] [--out FILE]``.

Every stage writes its figures to the results file when it ends. A stage that is already in the results file, with the
same commit, seed and count, is skipped unless ``--again`` is given. The exit code is 1 if any fault is found.
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustness import differential, findings, fuzz_audio, fuzz_state, fuzz_studio, material, report, workers

RESULTS = material.ROOT / "results" / "reliability.json"
MAX_MINIMISED = 6
"""Largest number of findings that are minimised per chunk."""
CHUNK_INPUTS = 2_000
"""Number of inputs after which the figures are saved; an interrupted run resumes there."""
LONG = {
    "audio": 20_000,
    "state": 3_000,
    "studio": 1_500,
    "differential": 400,
    "kills": 200,
    "places": 1,
    "endurance": 5,
}
SHORT = {"audio": 1_200, "state": 150, "studio": 100, "differential": 60, "kills": 12, "places": 0, "endurance": 1}
"""Number of inputs, files or kills; for ``places`` 1 for all groups, 0 for few; minutes for ``endurance``."""
EARLIER = 2
"""Number of earlier endurance runs that are kept; they differ in length and in the load of the machine."""


class Run:
    """State shared by the stages.

    Parameters
    ----------
    fixtures : Path
        Folder of the models, corpora and tables that the stages use.
    seed, jobs : int
        Random seed; number of worker processes.
    """

    def __init__(self, fixtures: Path, seed: int, jobs: int) -> None:
        self.fixtures, self.seed, self.jobs = fixtures, seed, jobs
        self._last_report = 0.0
        self.partial_results: dict[str, Any] = {}
        self.save: Callable[[dict[str, Any]], None] = lambda _: None

    def report_progress(self, text: str) -> None:
        """Print the progress, at most every 10 s."""
        if time.monotonic() - self._last_report > 10:
            self._last_report = time.monotonic()
            print(f"  {text}", file=sys.stderr, flush=True)

    def audio(self, count: int) -> dict[str, Any]:
        """Fuzz the reader with damaged recordings."""
        return self._fuzz(fuzz_audio.setup, fuzz_audio.tasks, count)

    def state(self, count: int) -> dict[str, Any]:
        """Fuzz with damaged models, checkpoints, corpora, configurations and tables."""
        return self._fuzz(functools.partial(fuzz_state.setup, self.fixtures), fuzz_state.tasks, count)

    def studio(self, count: int) -> dict[str, Any]:
        """Fuzz the studio with malformed requests and WebSocket frames."""
        outcomes = fuzz_studio.outcomes(self.fixtures, count, self.seed)
        return _with_fault_count(findings.summarise(outcomes, lambda n, _: self.report_progress(f"{n} requests")))

    def differential(self, count: int) -> dict[str, Any]:
        """Compare three decoders."""
        counts: Counter[str] = Counter()
        formats: Counter[str] = Counter()
        wrong = []
        for outcome in workers.run(differential.setup, differential.tasks(count, self.seed), workers=self.jobs):
            kind = outcome.kind if outcome.kind in ("fine", "unwritable") else "disagree"
            counts[kind] += 1
            formats[outcome.task["format"]] += kind != "unwritable"
            if kind == "disagree":
                wrong.append({"kind": outcome.kind, "text": outcome.text, "task": outcome.task})
            self.report_progress(f"{sum(counts.values())} files")
        compared = counts["fine"] + counts["disagree"]
        return {"files": compared, "agree": counts["fine"], "faults": counts["disagree"],
                "unwritable": counts["unwritable"], "by_format": dict(sorted(formats.items())), "findings": wrong}  # fmt: skip

    def kills(self, count: int) -> dict[str, Any]:
        """Kill commands at random moments, in a separate process, because this stage forks."""
        code = (
            "import json, sys; from pathlib import Path; from robustness import kills; a = json.loads(sys.argv[1]); "
            "show = lambda found: print(json.dumps(found), flush=True); "
            "show(kills.run(Path(a['fixtures']), a['count'], a['seed'], a['partial_results'], show))"
        )
        given = {
            "fixtures": str(self.fixtures), "count": count, "seed": self.seed, "partial_results": self.partial_results,
        }  # fmt: skip
        command = [sys.executable, "-c", code, json.dumps(given)]
        found: dict[str, Any] = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=material.environment()) as process:
            assert process.stdout is not None
            for line in process.stdout:  # the figures after each kill
                found = dict(json.loads(line))
                self.save(found)
                self.report_progress(f"{found['total']} kills")
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command[:2])
        return found

    def places(self, complete: int) -> dict[str, Any]:
        """Test under full disks, read-only folders and other adverse environments."""
        from robustness import places

        return places.run(self.fixtures, short=not complete)

    def endurance(self, minutes: float) -> dict[str, Any]:
        """Play and use the studio at the same time."""
        from robustness import endurance

        return endurance.run(minutes, self.seed)

    def _fuzz(self, setup: Callable[[], Any], tasks: Callable[..., Any], count: int) -> dict[str, Any]:
        done: dict[str, Any] = self.partial_results
        while (at := done.get("inputs", 0)) < count:
            part = tasks(range(at, min(at + CHUNK_INPUTS, count)), self.seed)
            outcomes = workers.run(setup, part, workers=self.jobs)
            found = findings.summarise(outcomes, lambda n, _, at=at: self.report_progress(f"{at + n} inputs"))
            found["findings"] = [findings.minimise(f, setup) for f in found["findings"][:MAX_MINIMISED]] + found[
                "findings"
            ][MAX_MINIMISED:]
            done = findings.merge(done, found)
            self.save(_with_fault_count(done))
        return _with_fault_count(done)


STAGES = ("audio", "state", "studio", "differential", "kills", "places", "endurance")


def _with_fault_count(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "faults": sum(found[kind] for kind in findings.FAULTS)}


def machine() -> dict[str, Any]:
    """Return a description of the machine."""
    import psutil

    names = [x.split(":")[1].strip() for x in _cpuinfo() if x.startswith("model name")]
    return {"cpu": names[0] if names else platform.processor(), "cores": psutil.cpu_count(),
            "memory_GB": round(psutil.virtual_memory().total / 1e9), "system": platform.system(),
            "python": platform.python_version()}  # fmt: skip


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def commit() -> str:
    """Return the commit under test."""
    done = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=material.ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def main() -> int:
    """Run the selected stages; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m robustness", description="Test noizenet for robustness.")
    parser.add_argument("--short", action="store_true", help="short run, as in CI; results go to a temporary file")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=STAGES, metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--count", type=float, help="number of inputs, files, kills or minutes of the selected stages")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--jobs", type=int, default=2, help="number of worker processes")
    parser.add_argument("--out", type=Path, help="results file")
    parser.add_argument(
        "--made",
        dest="fixtures",
        type=Path,
        help="folder of the models and corpora that the stages use; made if it does not exist",
    )
    parser.add_argument("--again", action="store_true", help="repeat stages that are already in the results")
    parser.add_argument("--report", action="store_true", help="only write docs/reliability.md from the results")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as scratch:
        out = o.out or (Path(scratch) / "reliability.json" if o.short else RESULTS)
        results = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        if not o.report:
            counts = SHORT if o.short else LONG
            run = Run(o.fixtures or Path(scratch) / "made", o.seed, o.jobs)
            for stage in o.only:
                count = counts[stage] if o.count is None else o.count
                _run_stage(run, stage, count if stage == "endurance" else int(count), results, out, again=o.again)
        if out == RESULTS:
            report.write(results, material.ROOT / "docs" / "reliability.md")
        return _exit_code(results, STAGES if o.report else o.only)


def _run_stage(run: Run, stage: str, count: float, results: dict[str, Any], out: Path, *, again: bool) -> None:
    key = {"commit": commit(), "seed": run.seed, "count": count}
    previous = results.get(stage, {}) if not again and results.get(stage, {}).get("key") == key else {}
    if previous.get("ended"):
        return
    print(f"{stage} …", file=sys.stderr, flush=True)
    if stage in ("state", "studio", "kills", "places"):
        material.make(run.fixtures)
    started = time.monotonic() - previous.get("took_s", 0)
    earlier = {"earlier": _earlier_runs(results.get(stage, {}))} if stage == "endurance" else {}

    def save(found: dict[str, Any], *, ended: bool = False) -> None:
        took = round(time.monotonic() - started)
        results[stage] = {"key": key, "machine": machine(), "took_s": took, "ended": ended, **found, **earlier}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    run.partial_results, run.save = previous, save
    save(
        {k: v for k, v in getattr(run, stage)(count).items() if k not in ("key", "machine", "took_s", "ended")},
        ended=True,
    )
    print(f"{stage}: {results[stage]['faults']} faults in {results[stage]['took_s']} s", file=sys.stderr, flush=True)


def _earlier_runs(last: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the finished runs before the next one, the latest first."""
    run = {k: v for k, v in last.items() if k != "earlier"}
    return [*([run] if run.get("ended") else []), *last.get("earlier", [])][:EARLIER]


def _exit_code(results: dict[str, Any], stages: Any) -> int:
    n_faults = 0
    for stage in stages:
        found = results.get(stage, {})
        n_faults += found.get("faults", 0)
        for f in found.get("findings", [])[:20]:
            print(f"{stage}: {json.dumps(f)[:600]}")
    print(f"{n_faults} faults" if n_faults else "no fault found")
    return int(bool(n_faults))


if __name__ == "__main__":
    sys.exit(main())
