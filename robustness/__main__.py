"""Run the harness: ``python -m robustness [--short] [--only STAGE …] [--seed N] [--out FILE]``.

Every stage writes its figures to the results file as it ends; a stage that is there already, of the same commit, seed
and counts, is not run again unless ``--again`` is given. The exit code is 1 when any count that must be 0 is not.
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
SHRUNK = 6
"""Findings of a part that are made smaller, at most."""
PART = 2_000
"""Inputs after which the figures so far are written; a run that was ended goes on there."""
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
"""Inputs, files, kills; of ``places`` whether all or few; minutes of endurance."""
EARLIER = 2
"""Earlier runs of endurance that are kept: they differ in length and in how busy the machine was."""


class Run:
    """What the stages share.

    Parameters
    ----------
    made : Path
        Where models, corpora and tables for the stages lie.
    seed, jobs : int
    """

    def __init__(self, made: Path, seed: int, jobs: int) -> None:
        self.made, self.seed, self.jobs = made, seed, jobs
        self._told = 0.0
        self.begun: dict[str, Any] = {}
        self.keep: Callable[[dict[str, Any]], None] = lambda _: None

    def tell(self, text: str) -> None:
        """Say how far it is, now and then."""
        if time.monotonic() - self._told > 10:
            self._told = time.monotonic()
            print(f"  {text}", file=sys.stderr, flush=True)

    def audio(self, count: int) -> dict[str, Any]:
        """Damaged recordings."""
        return self._fuzz(fuzz_audio.setup, fuzz_audio.tasks, count)

    def state(self, count: int) -> dict[str, Any]:
        """Damaged models, checkpoints, corpora, configurations and tables."""
        return self._fuzz(functools.partial(fuzz_state.setup, self.made), fuzz_state.tasks, count)

    def studio(self, count: int) -> dict[str, Any]:
        """Broken requests and frames."""
        outcomes = fuzz_studio.outcomes(self.made, count, self.seed)
        return _judged(findings.gather(outcomes, lambda n, _: self.tell(f"{n} requests")))

    def differential(self, count: int) -> dict[str, Any]:
        """Three decoders compared."""
        counts: Counter[str] = Counter()
        formats: Counter[str] = Counter()
        wrong = []
        for outcome in workers.run(differential.setup, differential.tasks(count, self.seed), workers=self.jobs):
            kind = outcome.kind if outcome.kind in ("fine", "unwritable") else "disagree"
            counts[kind] += 1
            formats[outcome.task["format"]] += kind != "unwritable"
            if kind == "disagree":
                wrong.append({"kind": outcome.kind, "text": outcome.text, "task": outcome.task})
            self.tell(f"{sum(counts.values())} files")
        compared = counts["fine"] + counts["disagree"]
        return {"files": compared, "agree": counts["fine"], "faults": counts["disagree"],
                "unwritable": counts["unwritable"], "by_format": dict(sorted(formats.items())), "findings": wrong}  # fmt: skip

    def kills(self, count: int) -> dict[str, Any]:
        """Kills at random moments, in a process of their own: it forks."""
        code = (
            "import json, sys; from pathlib import Path; from robustness import kills; a = json.loads(sys.argv[1]); "
            "show = lambda found: print(json.dumps(found), flush=True); "
            "show(kills.run(Path(a['made']), a['count'], a['seed'], a['begun'], show))"
        )
        given = {"made": str(self.made), "count": count, "seed": self.seed, "begun": self.begun}
        command = [sys.executable, "-c", code, json.dumps(given)]
        found: dict[str, Any] = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=material.environment()) as process:
            assert process.stdout is not None
            for line in process.stdout:  # the figures after each kill
                found = dict(json.loads(line))
                self.keep(found)
                self.tell(f"{found['total']} kills")
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command[:2])
        return found

    def places(self, whole: int) -> dict[str, Any]:
        """Full disks, read-only folders, and so on."""
        from robustness import places

        return places.run(self.made, short=not whole)

    def endurance(self, minutes: float) -> dict[str, Any]:
        """Playing and the studio at once."""
        from robustness import endurance

        return endurance.run(minutes, self.seed)

    def _fuzz(self, setup: Callable[[], Any], tasks: Callable[..., Any], count: int) -> dict[str, Any]:
        done: dict[str, Any] = self.begun
        while (at := done.get("inputs", 0)) < count:
            part = tasks(range(at, min(at + PART, count)), self.seed)
            outcomes = workers.run(setup, part, workers=self.jobs)
            found = findings.gather(outcomes, lambda n, _, at=at: self.tell(f"{at + n} inputs"))
            found["findings"] = [findings.smaller(f, setup) for f in found["findings"][:SHRUNK]] + found["findings"][
                SHRUNK:
            ]
            done = findings.merge(done, found)
            self.keep(_judged(done))
        return _judged(done)


STAGES = ("audio", "state", "studio", "differential", "kills", "places", "endurance")


def _judged(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "faults": sum(found[kind] for kind in findings.FAULTS)}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
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
    """Return the commit that is tried."""
    done = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=material.ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def main() -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m robustness", description="Look for what breaks.")
    parser.add_argument("--short", action="store_true", help="minutes: what CI runs; figures go to a temporary place")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=STAGES, metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--count", type=float, help="inputs, files, kills or minutes of the stages asked for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--out", type=Path, help="results file")
    parser.add_argument(
        "--made", type=Path, help="keep the models and corpora that stages need here, or take them from here"
    )
    parser.add_argument("--again", action="store_true", help="run stages again that are there already")
    parser.add_argument("--report", action="store_true", help="only write docs/reliability.md from the results")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as place:
        out = o.out or (Path(place) / "reliability.json" if o.short else RESULTS)
        results = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        if not o.report:
            counts = SHORT if o.short else LONG
            run = Run(o.made or Path(place) / "made", o.seed, o.jobs)
            for stage in o.only:
                count = counts[stage] if o.count is None else o.count
                _stage(run, stage, count if stage == "endurance" else int(count), results, out, again=o.again)
        if out == RESULTS:
            report.write(results, material.ROOT / "docs" / "reliability.md")
        return _verdict(results, STAGES if o.report else o.only)


def _stage(run: Run, stage: str, count: float, results: dict[str, Any], out: Path, *, again: bool) -> None:
    key = {"commit": commit(), "seed": run.seed, "count": count}
    before = results.get(stage, {}) if not again and results.get(stage, {}).get("key") == key else {}
    if before.get("ended"):
        return
    print(f"{stage} …", file=sys.stderr, flush=True)
    if stage in ("state", "studio", "kills", "places"):
        material.make(run.made)
    begun = time.monotonic() - before.get("took_s", 0)
    earlier = {"earlier": _earlier(results.get(stage, {}))} if stage == "endurance" else {}

    def keep(found: dict[str, Any], *, ended: bool = False) -> None:
        took = round(time.monotonic() - begun)
        results[stage] = {"key": key, "machine": machine(), "took_s": took, "ended": ended, **found, **earlier}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    run.begun, run.keep = before, keep
    keep(
        {k: v for k, v in getattr(run, stage)(count).items() if k not in ("key", "machine", "took_s", "ended")},
        ended=True,
    )
    print(f"{stage}: {results[stage]['faults']} faults in {results[stage]['took_s']} s", file=sys.stderr, flush=True)


def _earlier(last: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the runs that ended before the next one, the latest first."""
    run = {k: v for k, v in last.items() if k != "earlier"}
    return [*([run] if run.get("ended") else []), *last.get("earlier", [])][:EARLIER]


def _verdict(results: dict[str, Any], stages: Any) -> int:
    bad = 0
    for stage in stages:
        found = results.get(stage, {})
        bad += found.get("faults", 0)
        for f in found.get("findings", [])[:20]:
            print(f"{stage}: {json.dumps(f)[:600]}")
    print(f"{bad} faults" if bad else "no fault found")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
