"""Comparison of all models and baselines by the same metrics after equal training.

    python benchmarks/table.py CORPUS OUT [--minutes 5] [--streams 24] [--seconds 60] [--checkout samplernn-pytorch]

Silence, white noise, shuffled windows of held-out music, a first-order Markov chain over spectra, every recipe of
noizenet, and SampleRNN from a checkout (skipped without one). All trainings have the same CPU time on one thread and
the same tracks. Each contender's streams and report are in OUT/NAME; a stopped run resumes from there. OUT/table.md and
OUT/table.png are rewritten after each contender.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import noizenet
from noizenet.audio.waveform import Waveform
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.controls import CONTROLS, control
from noizenet.evaluation.recording import of_folder
from noizenet.evaluation.run import Options, ReferenceSet, evaluate, reference_set
from noizenet.store.model import Model, load
from noizenet.training import RECIPES
from noizenet.training.loop import train
from noizenet.training.options import configure
from noizenet.training.plan import Budget
from noizenet.views.render import new_figure, save_figure

sys.path.insert(0, str(Path(__file__).parent))
COLUMNS = {
    "alive": "alive",
    "frechet-tagger": "Fréchet, tagger",
    "frechet-crafted": "Fréchet, crafted",
    "kernel-tagger": "kernel, tagger",
    "genre": "genre accuracy",
    "copying": "near training music",
    "onset-rate": "onset rate",
    "tempo-clarity": "tempo clarity",
    "key-clarity": "key clarity",
    "loudness-range": "loudness range (dB)",
    "self-similarity-16": "self-similarity, 16 s",
    "likelihood": "bits per sample",
    "echo": "echo's MSE",
}
SAMPLERNN_STREAMS, SAMPLERNN_S = 36, 3.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU time of each training")
    parser.add_argument("--streams", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--checkout", type=Path, default=Path("samplernn-pytorch"))
    parser.add_argument("--embedding", default="tagger")
    parser.add_argument("--only", default="", help="only contenders whose name contains this")
    o = parser.parse_args()
    torch.set_num_threads(1)
    corpus = Corpus(o.corpus)
    contenders: dict[str, Callable[[Path], Model | None]] = {
        **{name: lambda folder, name=name: play_control(corpus, name, folder, o) for name in CONTROLS},
        "markov": lambda folder: play_markov(corpus, folder, o),
        **{name: lambda folder, name=name: play_recipe(corpus, name, folder, o) for name in RECIPES},
        "token-lstm, anew": lambda folder: play_recipe(corpus, "token-lstm", folder, o, "training.init_from="),
    }
    if (o.checkout / "model.py").exists():
        contenders["samplernn"] = lambda folder: play_samplernn(corpus, folder, o)
    else:
        print(f"{o.checkout}: no checkout of SampleRNN; skipped", file=sys.stderr)
    options, scene = Options(o.embedding), None
    content = hashlib.sha256("".join(sorted(t.content for t in corpus.tracks)).encode()).hexdigest()
    for name, make in contenders.items():
        if o.only not in name:
            continue
        folder = o.out / name.replace(" ", "-")
        asked = f"{name} {o.minutes:g} {o.streams} {o.seconds:g} {o.embedding} {content}"
        if not once(folder / "judged.txt", asked):
            made = folder / "made.txt"
            model = load(folder / "model") if once(made, asked) and (folder / "model").exists() else None
            if not once(made, asked):
                model = make(folder)
                made.write_text(asked)
            scene = scene or reference_set(corpus, options, progress)
            judge(name, corpus, folder, model, options, scene)
            (folder / "judged.txt").write_text(asked)
        write_table(o.out, list(contenders))


def once(note: Path, asked: str) -> bool:
    return note.exists() and note.read_text() == asked


def progress(what: str, share: float) -> None:
    print(f"\r{share:4.0%} {what[:60]:60}", end="", file=sys.stderr, flush=True)


def judge(name: str, corpus: Corpus, folder: Path, model: Model | None, options: Options, scene: ReferenceSet) -> None:
    made, skipped = of_folder(folder / "streams", corpus.genres)
    begun = time.perf_counter()
    evaluate(name, corpus, made, folder, options, is_worse=scene, model=model, skipped=skipped, on_progress=progress)
    print(f"\n{name}: judged in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


def stream_path(folder: Path, genre: str, i: int) -> Path:
    path = folder / "streams" / genre / f"{i:03d}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def play_control(corpus: Corpus, name: str, folder: Path, o: argparse.Namespace) -> None:
    """Write a control's streams, with another seed than the controls in every report."""
    each = max(1, o.streams // len(corpus.genres))
    for i, recording in enumerate(control(name, corpus, per_genre=each, seconds=o.seconds, seed=1)):
        samples = np.concatenate(list(recording.blocks()))
        noizenet.write(stream_path(folder, recording.genre, i), Waveform(samples[:, None], corpus.sample_rate))


def play_markov(corpus: Corpus, folder: Path, o: argparse.Namespace) -> None:
    import markov

    for g, genre in enumerate(corpus.genres):
        chain = markov.MarkovChain(corpus, [t for t in corpus.split("train") if t.genre == genre])
        for i in range(g, o.streams, len(corpus.genres)):
            samples = chain.play(o.seconds, corpus.sample_rate, seed=i)
            noizenet.write(stream_path(folder, genre, i), Waveform(samples[:, None], corpus.sample_rate))


def play_recipe(corpus: Corpus, name: str, folder: Path, o: argparse.Namespace, *sets: str) -> Model:
    config = configure(name, None, ("training.threads=1", *sets))
    model = train(
        corpus, folder / "model", config, Budget(minutes=o.minutes, clock="cpu"),
        resume=(folder / "model").exists(), on_progress=lambda p: progress(f"training {name}", p.done),
    )  # fmt: skip
    genres = corpus.genres if model.architecture.genre_size else ["any"]
    takes = list[tuple[Path | str, noizenet.Controls]]()
    for i in range(o.streams):
        genre = genres[i % len(genres)]
        genre_control = genre if model.architecture.genre_size else None
        takes.append(
            (
                stream_path(folder, genre, i),
                noizenet.Controls(seconds=o.seconds, seed=i, genre=genre_control, watch="off"),
            )
        )
    noizenet.generate_batch(model, takes, on_block=lambda s: progress(f"{name} plays", s / o.streams / o.seconds))
    return model


def play_samplernn(corpus: Corpus, folder: Path, o: argparse.Namespace) -> None:
    """Train and sample SampleRNN, which has no genres. Its streams are short: a second of one takes minutes."""
    import samplernn
    from compare import CROP_S, crops, representation

    rnn = samplernn.SampleRnn(o.checkout)
    windows = max(1, round(CROP_S * corpus.sample_rate / samplernn.WINDOW))
    batches = samplernn.lockstep(crops(corpus, samplernn.BATCH, samplernn.WINDOW, 0), windows)
    begun = time.process_time()
    while time.process_time() - begun < 60 * o.minutes:
        rnn.step(next(batches))
    classes = rnn.generate(SAMPLERNN_STREAMS, round(SAMPLERNN_S * corpus.sample_rate))
    for i, stream in enumerate(classes):
        noizenet.write(stream_path(folder, "any", i), representation(corpus).decode(stream[:, None]))


def write_table(out: Path, names: list[str]) -> None:
    reports = {n: json.loads(p.read_text()) for n in names if (p := out / n.replace(" ", "-") / "report.json").exists()}
    rows = ["| contender | streams | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    real: dict[str, Any] = {}
    for name, report in reports.items():
        figures = {f["name"]: f for f in report["figures"]}
        seconds = sum(s["alive"]["seconds"] for s in report["streams"]) / len(report["streams"])
        cells = [format_estimate(figures[c]["made"]) if c in figures else "–" for c in COLUMNS]
        rows.append(f"| {name} | {len(report['streams'])} × {seconds:.0f} s | " + " | ".join(cells) + " |")
        real |= {c: figures[c]["real"] for c in COLUMNS if c in figures and figures[c]["real"]}
    if reports:
        cells = [format_estimate(real[c]) if c in real else "–" for c in COLUMNS]
        rows.insert(2, "| **held-out music** | | " + " | ".join(cells) + " |")
    (out / "table.md").write_text("\n".join(rows) + "\n")
    draw(out / "table.png", reports, real)


def format_estimate(e: dict[str, Any]) -> str:
    def short(x: float) -> str:
        return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"

    if e["low"] is None:
        return short(e["value"])
    return f"{short(e['value'])} ({short(e['low'])} … {short(e['high'])})"


def draw(path: Path, reports: dict[str, Any], real: dict[str, Any]) -> None:
    """Plot quality metrics with their intervals, and held-out music as a line."""
    shown = ["frechet-tagger", "frechet-crafted", "genre", "onset-rate", "key-clarity", "self-similarity-16"]
    figure = new_figure(11, 1.5 + 0.22 * max(6, len(reports)) * 2)
    for ax, key in zip(figure.subplots(2, 3, sharey=True).ravel(), shown, strict=True):
        for y, report in enumerate(reports.values()):
            found = next((f["made"] for f in report["figures"] if f["name"] == key), None)
            if found is None:
                continue
            ax.plot(found["value"], y, "o", color="#2563eb", ms=4)
            if found["low"] is not None:
                ax.plot([found["low"], found["high"]], [y, y], color="#2563eb", lw=1.5)
        if key in real:
            ax.axvline(real[key]["value"], color="#c8553d", lw=1.2)
        ax.set_title(COLUMNS[key] + (" (higher is better)" if key == "genre" else " (lower is better)"), fontsize=9)
        ax.set_yticks(range(len(reports)), list(reports), fontsize=8)
        ax.invert_yaxis() if not ax.yaxis_inverted() else None
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
