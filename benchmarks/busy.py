"""Training speed while other work runs: steps per second on an idle machine, and with one and six busy processes.

    python benchmarks/busy.py [--rounds 5] [--seconds 8] [--recipe token-lstm] [--all] [--out results/busy.json]

Each measurement trains on random frames in a separate process, because OpenMP reads its settings once. The settings
take turns within a round, so that other load affects all of them alike; medians of the rounds are reported. `--all`
adds further settings to OpenMP's default ("default") and to that of noizenet's commands ("noizenet"). Run it on an
otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from noizenet.base.process import CHOICES, WAITING

SETTINGS: dict[str, dict[str, str]] = {"default": {}, "noizenet": WAITING}
ADAPTS = "noizenet"
"""The setting in which the number of threads adapts to the load of the machine, as in training by minutes."""
OTHERS: dict[str, dict[str, str]] = {
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 0": {"GOMP_SPINCOUNT": "0"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 3000": {"GOMP_SPINCOUNT": "3000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "spin 30000": {"GOMP_SPINCOUNT": "30000"},
    "spin 100000": {"GOMP_SPINCOUNT": "100000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BUSY_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
"""A busy loop that ends with its parent process."""
LOADS = (0, 1, 6)
WARM_UP_S = 2.5
"""Warm-up before the measurement, in seconds."""
MIN_BUSY, MIN_QUIET = 0.45, 0.97
"""Targets: with one busy process, relative to an idle machine; on an idle machine, relative to the default setting."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--recipe", default="token-lstm")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as of noizenet train")
    parser.add_argument("--loads", default=",".join(map(str, LOADS)))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", help="names of settings, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("results/busy.json"))
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--adapts", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        print(work(chosen.recipe, chosen.set, chosen.seconds, adapts=chosen.adapts))
        return
    settings = {**SETTINGS, **(OTHERS if chosen.all else {})}
    if chosen.only:
        settings = {name: {**SETTINGS, **OTHERS}[name] for name in chosen.only.split(",")}
    loads = [int(n) for n in chosen.loads.split(",")]
    rates: dict[str, dict[int, list[float]]] = {name: {n: [] for n in loads} for name in settings}
    for turn in range(chosen.rounds):
        for load in loads:
            for name, environment in settings.items():
                rates[name][load].append(measure(chosen, load, environment, adapts=name == ADAPTS))
                print(f"round {turn + 1}, {load} busy, {name}: {rates[name][load][-1]:.3f} steps/s", flush=True)
    report(rates, loads, chosen)


def measure(chosen: argparse.Namespace, load: int, environment: dict[str, str], *, adapts: bool) -> float:
    """Return steps per second while `load` busy processes run."""
    inherited = {k: v for k, v in os.environ.items() if k not in CHOICES and k != "OMP_NUM_THREADS"}
    command = [sys.executable, __file__, "--work", "--recipe", chosen.recipe, "--seconds", str(chosen.seconds)]
    command += [part for change in chosen.set for part in ("--set", change)] + ["--adapts"] * adapts
    busy = [subprocess.Popen([sys.executable, "-c", BUSY_LOOP]) for _ in range(load)]
    try:
        found = subprocess.run(command, env={**inherited, **environment}, check=True, stdout=subprocess.PIPE, text=True)
    finally:
        for child in busy:
            child.kill()
            child.wait()
    return float(found.stdout)


def work(recipe: str, changes: list[str], seconds: float, *, adapts: bool) -> float:
    """Train on random frames for some seconds; return steps per second."""
    import numpy as np
    import torch

    from noizenet.model.architecture import Architecture
    from noizenet.model.factory import make_network
    from noizenet.representation.base import create
    from noizenet.training import OPTIMIZERS
    from noizenet.training.options import configure
    from noizenet.training.precision import use_bf16
    from noizenet.training.step import train_step
    from noizenet.training.threads import ThreadCount
    from noizenet.training.windows import Batch

    config = configure(recipe, None, tuple(changes))
    o = config.training
    representation = create(config.representation, sample_rate=22_050, channels=1)
    a = Architecture(config.model, representation.kind, representation.levels, representation.dim, 4)
    torch.manual_seed(0)
    network = make_network(a, representation.values()).train()
    optimizer = OPTIMIZERS.load(o.optimizer)(network.parameters(), o)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, a.levels, (o.batch, o.window + 1, a.dim)).astype(np.int32)
    m = config.model
    beat_phase, places = (np.ones((o.batch, o.window + 1), np.int64) if used else None for used in (m.clock, m.phrase))
    back = np.repeat(frames[:, :, None].astype(np.int64), len(m.lookback_beats), 2) if m.lookback_beats else None
    batch = Batch(frames, rng.integers(0, 4, o.batch), np.zeros(o.batch, bool), beat_phase, places, back)
    state = network.start_state(o.batch).detach()
    bf16 = use_bf16(o.precision, config)
    with ThreadCount(o.threads if adapts else torch.get_num_threads(), adaptive=adapts) as threads:
        warm = time.perf_counter() + WARM_UP_S
        while time.perf_counter() < warm:  # one-time allocations and look-ups
            threads.adapt()
            state = train_step(network, optimizer, batch, state, o, bf16=bf16).state
        started, steps = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            threads.adapt()
            state = train_step(network, optimizer, batch, state, o, bf16=bf16).state
            steps += 1
        return steps / (time.perf_counter() - started)


def report(rates: dict[str, dict[int, list[float]]], loads: list[int], chosen: argparse.Namespace) -> None:
    """Print the medians, and write them with all measurements."""
    medians = {name: {n: statistics.median(found) for n, found in by_load.items()} for name, by_load in rates.items()}
    print("\n| steps per second with busy processes | " + " | ".join(map(str, loads)) + " |")
    print("|---" * (len(loads) + 1) + "|")
    for name, by_load in medians.items():
        print(f"| {name} | " + " | ".join(f"{by_load[n]:.2f}" for n in loads) + " |")
    tuned, plain = medians.get("noizenet"), medians.get("default")
    ratios: dict[str, float] = {}
    if tuned and plain and 0 in loads:
        # Ratios within a round, so that a change of the machine's speed over time has no effect.
        pairs = zip(rates["noizenet"][0], rates["default"][0], strict=True)
        ratios["quiet, of the default's speed"] = statistics.median(a / b for a, b in pairs)
    if tuned and plain and 0 in loads and 1 in loads:
        ratios["beside one busy process, of the quiet speed"] = tuned[1] / tuned[0]
        ratios["beside one busy process, of the quiet speed, by default"] = plain[1] / plain[0]
    for what, figure in ratios.items():
        print(f"{what}: {figure:.2f}")
    print(f"targets: idle machine ≥ {MIN_QUIET}, with one busy process ≥ {MIN_BUSY}")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "recipe": chosen.recipe, "set": chosen.set, "seconds": chosen.seconds,
        "rounds": chosen.rounds, "cores": os.cpu_count(),
        "machine": platform.machine(), "load_average_at_the_end": os.getloadavg()[0],
        "targets": {"quiet": MIN_QUIET, "beside one busy process": MIN_BUSY},
    }  # fmt: skip
    text = json.dumps({**metadata, "medians": medians, "verdict": ratios, "rates": rates}, indent=2, ensure_ascii=False)
    chosen.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
