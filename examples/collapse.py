"""Causes of the collapse of free-running prediction in the paper's program, tested one at a time.

    python examples/collapse.py CORPUS OUT [--seeds 5] [--minutes 0.5] [--short]

For each seed two small networks of the same size are trained on the corpus: one with the paper's regression head
(mean square error on z-scored samples), one with a categorical head (mu-law classes). Then each is run autoregressively
from a prompt of one second of a held-out song, in six ways:

    mse              the regression output is fed back, the state is carried: a correct loop
    mse-shrinking    the state is reset at each step, a context of 441, 441, 440, 438, 435, … 1 samples is fed instead
    mse-double       the state is carried, but each step feeds the last two samples: every sample is fed twice
    mse-noise        as mse, with noise added to the fed-back sample every tenth of a second
    argmax           the most probable class of the categorical head is fed back
    sampled          a class sampled from the categorical head is fed back

The output is degenerate from the first three seconds that are silent, constant, frozen, one tone, a loop or white noise
(noizenet.evaluation.aliveness). Written to OUT: collapse.json, collapse.png, collapse.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import noizenet
from noizenet.audio.waveform import Waveform
from noizenet.evaluation.aliveness import Report
from noizenet.model.stepper import Stepper
from noizenet.store.model import Model
from noizenet.views.render import ACCENT, WAVE, new_figure, save_figure

CONTEXT = 441  # samples, as in the paper's notebook
SEED_SECONDS = 1.0
ONE_LAYER = ("model.hidden=64", "training.batch=16", "training.window=128", "training.segment_seconds=4")
SETTINGS = {
    "paper-lstm": ONE_LAYER,
    # No tiers: the same layer, so that only the output head differs.
    "sample-lstm": (*ONE_LAYER, "model.tiers=[]", "model.head=categorical", "training.learning_rate=0.006"),
}
LABELS = {
    "mse": "regression (MSE), fed back",
    "mse-shrinking": "… with a shrinking context",
    "mse-double": "… with samples fed twice",
    "mse-noise": "… with noise injected",
    "argmax": "distribution, most probable class",
    "sampled": "distribution, sampled",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=0.5, help="training time of each network")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each free run")
    parser.add_argument("--short", action="store_true", help="two seeds, six seconds of training, runs of 8 s")
    options = parser.parse_args()
    if options.short:
        options.seeds, options.minutes, options.seconds = 2, 0.1, 8.0
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, object]]] = {name: [] for name in LABELS}
    for seed in range(options.seeds):
        for name, report in one_seed(options.corpus, options.out, seed, options.minutes, options.seconds).items():
            results[name].append(report.to_dict())
            outcome = "healthy to the end" if report.death_s is None else f"degenerate at {report.death_s:.0f} s"
            print(f"seed {seed}  {LABELS[name]:34} {outcome}  {', '.join(report.causes)}", flush=True)
    (options.out / "collapse.json").write_text(json.dumps(results, indent=2) + "\n")
    (options.out / "collapse.md").write_text(table(results, options.seconds))
    draw(results, options.seconds, options.out / "collapse.png")
    print((options.out / "collapse.md").read_text())


def one_seed(corpus_folder: Path, out: Path, seed: int, minutes: float, seconds: float) -> dict[str, Report]:
    """Train both networks with one seed and run them in all six ways."""
    corpus = noizenet.load_corpus(corpus_folder)
    models = {}
    for recipe in ("paper-lstm", "sample-lstm"):
        folder = out / f"{recipe}-{seed}"
        if (folder / "model.json").exists():
            models[recipe] = noizenet.load_model(folder)
        else:
            models[recipe] = noizenet.train(
                corpus, folder, model=recipe, set=SETTINGS[recipe], minutes=minutes, seed=seed
            )
    held_out = corpus.split("test") or corpus.split("validation")
    track = held_out[seed % len(held_out)]
    rng = np.random.default_rng(seed)
    first = int(rng.integers(0, max(1, track.frames - 2 * corpus.sample_rate)))
    song = Waveform(corpus.mono(track, first, int(SEED_SECONDS * corpus.sample_rate)), corpus.sample_rate)
    count = int(seconds * corpus.sample_rate)
    short = max(count // 5, 6 * corpus.sample_rate)
    paper, sampler = models["paper-lstm"], models["sample-lstm"]
    genre = np.eye(len(corpus.genres))[corpus.genres.index(track.genre)]
    return {
        "mse": assess(paper, run_stepper(paper, song, genre, seed, count)),
        # These two run in a Python loop, so they are shorter.
        "mse-shrinking": assess(paper, run_with_rule(paper, song, genre, short, shrinking)),
        "mse-double": assess(paper, run_with_rule(paper, song, genre, short, double)),
        "mse-noise": assess(paper, run_stepper(paper, song, genre, seed, count, inject=0.1)),
        "argmax": assess(sampler, run_stepper(sampler, song, genre, seed, count, temperature=0.0)),
        "sampled": assess(sampler, run_stepper(sampler, song, genre, seed, count)),
    }


def run_stepper(
    model: Model,
    song: Waveform,
    genre: np.ndarray,
    seed: int,
    count: int,
    *,
    temperature: float = 1.0,
    inject: float = 0.0,
) -> np.ndarray:
    """Run autoregressively with noizenet's stepper."""
    from noizenet.model.sampling import Sampling

    stepper = Stepper(model.network, model.representation.silence(), seed)
    stepper.set_genre(genre)
    stepper.prefill(model.representation.encode(song))
    every = model.representation.sample_rate // 10 if inject else 0
    return stepper.run(count, Sampling(temperature), inject_every=every, inject_amount=inject)


def run_with_rule(
    model: Model, song: Waveform, genre: np.ndarray, count: int, rule: Callable[..., object]
) -> np.ndarray:
    """Run autoregressively in one of the ways of the paper's notebook."""
    frames = torch.from_numpy(model.representation.encode(song))
    mix = torch.from_numpy(genre[None].astype(np.float32))
    history: list[torch.Tensor] = [*frames]
    with torch.inference_mode():
        rule(model.network, history, mix, count)
    return torch.stack(history[len(frames) :]).numpy()


def shrinking(network: torch.nn.Module, history: list[torch.Tensor], mix: torch.Tensor, count: int) -> None:
    """Reset the state at each step and feed a context of 441, 441, 440, 438, … down to 1 samples."""
    for step in range(count):
        size = max(1, CONTEXT - step * (step - 1) // 2)
        context = torch.stack(history[-size:])[None]
        output, _ = network(context, mix, network.start_state(1))
        history.append(output[0, -1])


def double(network: torch.nn.Module, history: list[torch.Tensor], mix: torch.Tensor, count: int) -> None:
    """Carry the state, but feed windows that overlap by one sample, so that each sample is fed twice."""
    _, state = network(torch.stack(history)[None], mix, network.start_state(1))
    for _ in range(count):
        _, state = network.step(history[-2][None], mix, state)
        output, state = network.step(history[-1][None], mix, state)
        history.append(output[0])


def assess(model: Model, frames: np.ndarray) -> Report:
    """Decode a run and check it for degenerate output."""
    return noizenet.aliveness(model.representation.decode(frames))


def table(results: dict[str, list[dict[str, object]]], seconds: float) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| free run | seeds | healthy to the end | seconds until degenerate, median (range) | of "
        "| healthy share, median | failure modes |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in results.items():
        length = max(float(str(r["seconds"])) for r in rows)
        deaths = [length if r["death_s"] is None else float(str(r["death_s"])) for r in rows]
        survived = sum(r["death_s"] is None for r in rows)
        causes = sorted({c for r in rows for c in r["causes"]})  # type: ignore[attr-defined]
        share = statistics.median(float(str(r["alive"])) for r in rows)
        spread = f"{statistics.median(deaths):.0f} ({min(deaths):.0f}–{max(deaths):.0f})"
        lines.append(
            f"| {LABELS[name]} | {len(rows)} | {survived} | {spread} | {length:.0f} s | {share:.0%} "
            f"| {', '.join(causes) or '–'} |"
        )
    return "\n".join(lines) + "\n"


def draw(results: dict[str, list[dict[str, object]]], seconds: float, path: Path) -> None:
    """Draw the healthy share of each run, one dot per seed."""
    figure = new_figure(7.5, 3.0)
    axes = figure.add_subplot()
    for row, (name, rows) in enumerate(results.items()):
        shares = [100 * float(str(r["alive"])) for r in rows]
        colour = WAVE if name == "sampled" else ACCENT
        axes.barh(row, statistics.mean(shares), color=colour, alpha=0.35, height=0.6)
        axes.plot(
            shares, [row + 0.12 * (i - (len(shares) - 1) / 2) for i in range(len(shares))], "o", color=colour, ms=4
        )
    axes.set_yticks(range(len(results)), [LABELS[n] for n in results])
    axes.invert_yaxis()
    axes.set(xlabel="healthy share of a free run (%), one dot per seed", xlim=(0, 103))
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
