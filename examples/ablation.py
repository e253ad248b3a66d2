"""Ablation study of the sample-lstm recipe at equal CPU time.

    python examples/ablation.py CORPUS OUT [--minutes 2.5] [--only WORD]

Each variant is trained on one thread from the same seed for the same CPU time, two at a time, without calibration. The
metric is bits per sample on held-out tracks. OUT/table.md is rewritten after each variant.
"""

from __future__ import annotations

import argparse
import re
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from noizenet.bench.training import ONE_LSTM
from noizenet.corpus.corpus import Corpus
from noizenet.store.model import Model, load
from noizenet.training.loop import train
from noizenet.training.options import configure
from noizenet.training.plan import Budget
from noizenet.training.validation import Validation

VARIANTS: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "the recipe, another seed": ("seed=1",),
    "no tiers: one sample-level LSTM of 128 units, categorical": ONE_LSTM,
    "head: categorical, with two sample embeddings": ("model.head=categorical", "model.embedded=2"),
    "no LPC": ("model.lpc_order=0", "model.mixtures=3"),
    "no learned linear prediction": ("model.prediction_order=0",),
    "no linear prediction of either kind": ("model.prediction_order=0", "model.lpc_order=0", "model.mixtures=3"),
    "learned linear prediction with fixed taps": ("model.prediction=fixed",),
    "LPC of order 16": ("model.lpc_order=16",),
    "LPC of order 64": ("model.lpc_order=64",),
    "with one sample embedding": ("model.embedded=1",),
    "2 logistics": ("model.mixtures=2",),
    "12 logistics": ("model.mixtures=12",),
    "no coarse features": ("model.coarse_features=false",),
    "one tier: 8 samples, with coarse features": ("model.tiers=[[8, 256]]",),
    "tiers of 8 and 64 samples": ("model.tiers=[[8, 256], [64, 384]]",),
    "tiers of 16 and 128 samples": ("model.tiers=[[16, 384], [128, 384]]",),
    "tiers of 4, 32 and 512 samples": ("model.tiers=[[4, 128], [32, 256], [512, 256]]",),
    "narrower tiers": ("model.tiers=[[4, 64], [32, 128], [256, 128]]",),
    "wider tiers": ("model.tiers=[[4, 256], [32, 384], [256, 512]]",),
    "cell: gru": ("model.cell=gru",),
    "cell: rnn": ("model.cell=rnn",),
    "per-sample width 64": ("model.width=64",),
    "per-sample width 256": ("model.width=256",),
    "per-sample layers: no additional": ("model.depth=0",),
    "per-sample layers: two additional": ("model.depth=2",),
    "lookback: 16 samples": ("model.lookback=16",),
    "lookback: 64 samples": ("model.lookback=64",),
    "without genre conditioning": ("model.genre_embedding=0",),
    "learning rate half": ("training.learning_rate=0.0015",),
    "learning rate double": ("training.learning_rate=0.006",),
    "window 512, batch 32": ("training.window=512", "training.batch=32"),
    "window 1024, batch 16": ("training.window=1024", "training.batch=16"),
    "window 1024, batch 8": ("training.window=1024", "training.batch=8"),
    "segments of 2 seconds": ("training.segment_seconds=2",),
    "segments of 20 seconds": ("training.segment_seconds=20",),
    "no random tilt": ("model.random_tilt=0",),
    "no gain jitter": ("training.gain_jitter=0",),
    "gain jitter 0.1": ("training.gain_jitter=0.1",),
    "input noise of half a class": ("training.input_noise=0.5",),
    "float32 throughout": ("training.precision=fp32",),
}  # fmt: skip


def run(corpus: Path, folder: Path, settings: tuple[str, ...], minutes: float) -> tuple[float, int, float, int]:
    seeds = [int(s.removeprefix("seed=")) for s in settings if s.startswith("seed=")]
    sets = ("training.calibration_seconds=0", *(s for s in settings if not s.startswith("seed=")))
    model = train_variant(corpus, folder, sets, minutes, seed=seeds[0] if seeds else 0)
    m = model.training["metrics"]
    return held_out_bits(model, Corpus(corpus)), m["steps"], m["audio_hours"] * 60, model.network.parameter_count()


def held_out_bits(model: Model, corpus: Corpus) -> float:
    """Return bits per sample over two minutes of validation tracks, the same for all variants."""
    fixed = Validation(corpus, corpus.split("validation"), model.representation, window=1024, seconds=120, seed=0)
    return fixed.measure(model.network, bf16=False)["bits_per_frame"]


def train_variant(
    corpus: Path, folder: Path, sets: tuple[str, ...], minutes: float, *, seed: int = 0, recipe: str = "sample-lstm"
) -> Model:
    """Train a variant of a recipe on one thread for a number of minutes of CPU time.

    A folder with a finished training of the same variant is reused; any other content is replaced.
    """
    config = configure(recipe, None, ("training.threads=1", *sets))
    settings_text = f"{config} {minutes} {seed}"
    marker = folder / "asked.txt"
    if marker.exists() and marker.read_text() == settings_text:
        return load(folder)
    shutil.rmtree(folder, ignore_errors=True)
    model = train(Corpus(corpus), folder, config, Budget(minutes=minutes, clock="cpu"), seed=seed)
    marker.write_text(settings_text)
    return model


def slug(name: str) -> str:
    """Return a folder name for a variant."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=2.5, help="CPU time of each training")
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = {k: v for k, v in VARIANTS.items() if options.only in k}
    rows: dict[str, str] = {}
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        runs = {
            pool.submit(run, options.corpus, options.out / slug(name), settings, options.minutes): name
            for name, settings in chosen.items()
        }
        for done in as_completed(runs):
            name = runs[done]
            bits, steps, audio_minutes, weights = done.result()
            rows[name] = f"| {name} | {bits:.3f} | {steps:,} | {audio_minutes:.1f} | {weights / 1000:,.0f} |"
            print(rows[name], flush=True)
            lines = [
                "| variant | bits per sample | steps | minutes of audio read | thousand weights |",
                "|---|---|---|---|---|",
            ]
            (options.out / "table.md").write_text("\n".join([*lines, *(rows[n] for n in chosen if n in rows)]) + "\n")


if __name__ == "__main__":
    main()
