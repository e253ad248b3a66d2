"""sample-lstm compared with SampleRNN and simple predictors: bits per sample on unseen tracks after equal CPU time.

    python benchmarks/compare.py baselines CORPUS OUT
    python benchmarks/compare.py samplernn CORPUS OUT --minutes 20,90 --checkout samplernn-pytorch
    python benchmarks/compare.py sample-lstm CORPUS OUT --minutes 20,90
    python benchmarks/compare.py speed CORPUS OUT --checkout samplernn-pytorch

Each model trains on one thread for a budget of *CPU* minutes (so other load does not matter) on the same tracks in
crops of five seconds. Both are measured on the same windows of the corpus's test tracks, as the same 256 mu-law
classes. SampleRNN, whose learning rate is constant, is measured at each budget of one run; sample-lstm, whose learning
rate decays over its budget, is trained once per budget. ``speed`` times generation (one stream, one thread) and
training steps of both alternately. Results are written to OUT/NAME.json.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.baselines import linear_prediction, persistence, zeroth_order
from noizenet.representation.mulaw import MuLaw
from noizenet.store.model import Model, load
from noizenet.training.step import detach_state, to_tensors
from noizenet.training.windows import Batch, WindowReader

sys.path.insert(0, str(Path(__file__).parent))
CROP_S, WINDOW, ROWS, TEST_S = 5.0, 1024, 32, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", choices=("baselines", "samplernn", "sample-lstm", "speed"))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", default="20,90", help="budgets of CPU time, increasing")
    parser.add_argument("--checkout", type=Path, default=Path("samplernn-pytorch"))
    parser.add_argument("--set", action="append", default=[], help="section.key=value for sample-lstm")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    torch.set_num_threads(1)
    a.out.mkdir(parents=True, exist_ok=True)
    budgets = [float(m) for m in a.minutes.split(",")]
    corpus = Corpus(a.corpus)
    if a.who == "speed":
        report(a.out / "speed.json", speed(corpus, a.checkout))
        return
    test = test_batches(corpus)
    if a.who == "baselines":
        report(a.out / "baselines.json", baselines(corpus, test))
    elif a.who == "samplernn":
        run_samplernn(corpus, test, budgets, a)
    else:
        run_ours(corpus, test, budgets, a)


def representation(corpus: Corpus) -> MuLaw:
    return MuLaw(sample_rate=corpus.sample_rate, channels=1)


def test_batches(corpus: Corpus) -> list[Batch]:
    """Return 64 seconds of the test tracks: 32 rows of two seconds, each from the start state."""
    windows = round(TEST_S * corpus.sample_rate / WINDOW)
    reader = WindowReader(
        corpus, corpus.split("test"), representation(corpus), batch=ROWS, window=WINDOW,
        segment_seconds=windows * WINDOW / corpus.sample_rate, seed=20,
    )  # fmt: skip
    return [reader.next() for _ in range(windows)]


def crops(corpus: Corpus, batch: int, window: int, seed: int) -> WindowReader:
    """Return a reader of the training tracks, crop by crop."""
    return WindowReader(
        corpus, corpus.split("train"), representation(corpus), batch=batch, window=window, segment_seconds=CROP_S,
        seed=seed,
    )  # fmt: skip


def report(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1))
    print(json.dumps(values), flush=True)


def run_samplernn(corpus: Corpus, test: list[Batch], budgets: list[float], a: argparse.Namespace) -> None:
    import samplernn

    rnn = samplernn.SampleRnn(a.checkout, a.seed)
    windows = max(1, round(CROP_S * corpus.sample_rate / samplernn.WINDOW))
    result: dict[str, Any] = {"parameters": rnn.parameter_count(), "sample_rate": corpus.sample_rate, "budgets": {}}
    spent, steps, recent = 0.0, 0, 0.0
    batches = samplernn.lockstep(crops(corpus, samplernn.BATCH, samplernn.WINDOW, a.seed), windows)
    for minutes in budgets:
        while spent < minutes * 60:
            begun = time.process_time()
            recent = rnn.step(next(batches))
            spent += time.process_time() - begun
            steps += 1
            print(f"step {steps}, {spent / 60:.1f} min, {recent:.3f} bits", file=sys.stderr, flush=True)
        audio = steps * samplernn.BATCH * samplernn.WINDOW / corpus.sample_rate
        result["budgets"][f"{minutes:g}"] = {
            "bits": rnn.measure(test), "training_bits": recent, "steps": steps, "audio_seconds": audio,
            "audio_seconds_per_cpu_second": audio / spent,
        }  # fmt: skip
        report(a.out / "samplernn.json", result)


def run_ours(corpus: Corpus, test: list[Batch], budgets: list[float], a: argparse.Namespace) -> None:
    from noizenet.training.loop import train
    from noizenet.training.options import configure
    from noizenet.training.plan import Budget

    result: dict[str, Any] = {"sample_rate": corpus.sample_rate, "set": a.set, "budgets": {}}
    sets = (f"training.segment_seconds={CROP_S}", "training.threads=1", *a.set)
    for minutes in budgets:
        folder = a.out / f"sample-lstm-{minutes:g}"
        model = train(
            corpus, folder, configure("sample-lstm", None, sets), Budget(minutes=minutes, clock="cpu"),
            seed=a.seed, resume=True, on_progress=_show, command=" ".join(sys.argv),
        )  # fmt: skip
        metrics = model.training["metrics"]
        audio = metrics["audio_hours"] * 3600
        result["parameters"] = model.network.parameter_count()
        result["budgets"][f"{minutes:g}"] = {
            "bits": bits(load(folder), test), "steps": metrics["steps"], "audio_seconds": audio,
            "audio_seconds_per_cpu_second": audio / (minutes * 60),
            "validation_bits": metrics.get("best_validation_bits_per_frame"),
        }  # fmt: skip
        report(a.out / "sample-lstm.json", result)
        corpus = Corpus(a.corpus)


def speed(corpus: Corpus, checkout: Path, rounds: int = 3) -> dict[str, Any]:
    """Time both models alternately; return medians."""
    import samplernn

    from noizenet.bench.playing import default_model
    from noizenet.model.stepper import Stepper
    from noizenet.training.loop import Trainer
    from noizenet.training.options import configure
    from noizenet.training.plan import Budget

    rate = corpus.sample_rate
    rnn, model = samplernn.SampleRnn(checkout), default_model()
    stepper = Stepper(model.weights, model.representation.silence())
    stepper.run(1000)
    rnn.generate_seconds(16)
    samplernn_rates, our_rates = [], []
    for _ in range(rounds):
        samplernn_rates.append(64 / rnn.generate_seconds(64) / rate)
        begun = time.perf_counter()
        stepper.run(rate)
        our_rates.append(1 / (time.perf_counter() - begun))
    with tempfile.TemporaryDirectory() as folder:
        config = configure("sample-lstm", None, ("training.threads=1",))
        trainer = Trainer(corpus, Path(folder), config, Budget(minutes=1), 0)
        o = config.training

        def step() -> None:
            trainer.state = trainer.learn().state

        step()
        our_training: list[float] = []
        for _ in range(20):
            begun = time.process_time()
            step()
            our_training.append(o.batch * o.window / rate / (time.process_time() - begun))
    batch = crops(corpus, samplernn.BATCH, samplernn.WINDOW, 0).next()
    begun = time.process_time()
    rnn.step(batch)
    samplernn_training = samplernn.BATCH * samplernn.WINDOW / rate / (time.process_time() - begun)
    return {
        "sample_rate": rate,
        "generation, x real time": {
            "samplernn": float(np.median(samplernn_rates)),
            "sample-lstm": float(np.median(our_rates)),
        },
        "generation, ratio": float(np.median(our_rates) / np.median(samplernn_rates)),
        "training, audio seconds per CPU second": {
            "samplernn": samplernn_training,
            "sample-lstm": float(np.median(our_training)),
        },
        "training, ratio": float(np.median(our_training)) / samplernn_training,
    }


def _show(progress: Any) -> None:
    if progress.step % 50 == 0 or progress.message:
        test_classes = "" if progress.validation is None else f", held out {progress.validation / math.log(2):.3f}"
        text = f"{progress.done:.1%}, {progress.loss / math.log(2):.3f} bits{test_classes} {progress.message}"
        print(text, file=sys.stderr, flush=True)


@torch.inference_mode()
def bits(model: Model, test: list[Batch]) -> float:
    """Return a model's exact bits per sample over the test windows."""
    network = model.network
    state = network.start_state(ROWS)
    total = 0.0
    for batch in test:
        inputs, targets, mix, _ = to_tensors(batch, network.architecture.genres)
        nats, _, state = network.compute_loss(inputs, targets, mix, detach_state(network, state, batch.fresh))
        total += float(nats) / math.log(2)
    return total / len(test)


def baselines(corpus: Corpus, test: list[Batch]) -> dict[str, Any]:
    """Return bits per sample of simple predictors."""
    r = representation(corpus)
    reader = WindowReader(corpus, corpus.split("train"), r, batch=64, window=WINDOW, segment_seconds=0.1, seed=0)
    train = np.concatenate([reader.next().frames[..., 0] for _ in range(60)]).astype(np.int64)
    test_classes = [b.frames[..., 0].astype(np.int64) for b in test]
    rows = np.concatenate([test_classes[0][:, :1], *(h[:, 1:] for h in test_classes)], axis=1)
    return {
        "sample_rate": corpus.sample_rate,
        "uniform": 8.0,
        "zeroth order (histogram of classes)": float(zeroth_order(train[:, 1:], rows, 256).mean()),
        "persistence (histogram of differences)": float(persistence(train, rows, 256).mean()),
        "linear prediction (order 32, from the last 1,024 samples)": float(linear_prediction(rows, r.values()).mean()),
    }


if __name__ == "__main__":
    main()
