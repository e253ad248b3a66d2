"""Live playing with the default sample-lstm: speed on one thread, share of the bandwidth limit, start-up, memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from noizenet.bench.bandwidth import read_schedule
from noizenet.bench.figure import Measurement, time_alternately, time_call
from noizenet.model.architecture import Architecture
from noizenet.model.engine_tiered import TieredEngine
from noizenet.model.factory import make_network
from noizenet.model.stepper import Stepper
from noizenet.model.weights import Weights
from noizenet.representation.base import create
from noizenet.store.model import Model, save
from noizenet.training.options import configure

RATE, GENRES = 22_050, 6
SAMPLES = 30_000


def default_model() -> Model:
    """Return the recipe's network with random weights, which are as fast as trained ones."""
    config = configure("sample-lstm")
    representation = create(config.representation, sample_rate=RATE, channels=1)
    torch.manual_seed(0)
    a = Architecture(config.model, representation.kind, representation.levels, representation.dim, GENRES)
    return Model(
        Weights.of(make_network(a, representation.values())), representation, [f"genre {i}" for i in range(GENRES)], {}
    )


def measure(rounds: int) -> list[Measurement]:
    """Measure one stream on one thread, and whole processes."""
    model = default_model()
    figures: list[Measurement] = []
    for precision in ("fp32", "bf16", "int8"):
        stepper = Stepper(model.weights, model.representation.silence(), precision=precision)
        stepper.run(1000)
        size = stepper.bytes_per_frame
        if precision == "fp32":
            engine = stepper.engine
            assert isinstance(engine, TieredEngine)
            weights, blocks = engine.packed.weights, engine.schedule()
            read_schedule(weights, blocks, 1000)
            ours, limit, ratio = time_alternately(
                partial(stepper.run, SAMPLES), partial(read_schedule, weights, blocks, SAMPLES), rounds
            )
            figures.append(
                Measurement(
                    "sample-lstm ÷ bare reading of its weights", ratio, "×", 0.6,
                    detail=f"{size * SAMPLES / ours / 1e9:.1f} of {size * SAMPLES / limit / 1e9:.1f} GB/s, "
                    f"{size / 1000:,.0f} kB a sample",
                )
            )  # fmt: skip
        else:
            ours = statistics.median(time_call(partial(stepper.run, SAMPLES)) for _ in range(rounds))
        figures.append(
            Measurement(
                f"sample-lstm, {precision}, real time at {RATE:,} Hz", SAMPLES / RATE / ours, "×",
                1.5 if precision == "fp32" else None, detail=f"one thread, {size / 1000:,.0f} kB a sample",
            )
        )  # fmt: skip
    return figures + _live(model, rounds)


def _live(model: Model, rounds: int) -> list[Measurement]:
    """Measure whole processes of ``noizenet play``, with the kernels already compiled."""
    import psutil

    starts, rss = [], 0
    with tempfile.TemporaryDirectory(prefix="noizenet-bench-") as temporary:
        folder = Path(temporary) / "model"
        save(model, folder)
        for round_ in range(max(3, rounds) + 1):
            started = time.perf_counter()
            command = [sys.executable, "-m", "noizenet", "play", str(folder), "--out", "-"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdout is not None
                process.stdout.read(2 * RATE // 4)
                if round_:  # the first process may compile kernels
                    starts.append(time.perf_counter() - started)
                process.stdout.read(2 * RATE * 5)
                rss = max(rss, psutil.Process(process.pid).memory_info().rss)
                process.kill()
    return [
        Measurement("process start to the first block of sound", float(np.median(starts)), "s", 3.0, False),
        Measurement("RSS while playing", rss / 1e6, "MB", 400.0, False),
    ]
