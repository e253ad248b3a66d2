"""Fine-tuning on an artist's recordings, compared with the bundled model and with training from scratch.

    python examples/adapting.py SOURCE OUT [--minutes 6] [--streams 24] [--seconds 30]

SOURCE is a folder of 20 to 60 minutes of one artist who is not in the training data of the bundled weights. Every third
recording is held out. Three models generate: the bundled one (all its genres in turn), the bundled one fine-tuned for
--minutes, and one trained from scratch for the same time. Printed are the time from the folder to the first stream, the
Fréchet and kernel distances of the generated audio to the held-out recordings, and the share of seconds nearer to the
training recordings than 95 % of the held-out seconds are, with intervals over streams.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import noizenet
from noizenet.base.errors import UsageError
from noizenet.evaluation.fetch import tagger_wheel
from noizenet.evaluation.metric import MetricInputs
from noizenet.evaluation.metrics import COPYING, FRECHET_CRAFTED, FRECHET_TAGGER, KERNEL_CRAFTED
from noizenet.evaluation.recording import AnalyzedRecording, Recording, analyze, blocks_of, of_corpus
from noizenet.evaluation.tagger import Tagger, load_tagger

BUNDLED, REAL_S, ALL_S = "token-lstm", 120.0, 1800.0
METRICS = {
    "Fréchet, tagger": FRECHET_TAGGER, "Fréchet, crafted": FRECHET_CRAFTED, "kernel, crafted": KERNEL_CRAFTED,
    "near training music": COPYING,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--streams", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=0, help="threads of torch (0: one per core)")
    o = parser.parse_args()
    threads = f"training.threads={o.threads}"
    training_folder, held_out_folder = split_recordings(o.source, o.out)
    held_out_corpus = noizenet.build_corpus(held_out_folder, o.out / "aside-corpus")
    started = time.perf_counter()
    corpus = noizenet.build_corpus(training_folder, o.out / "corpus")
    adapted = noizenet.train(
        corpus, o.out / "adapted", minutes=o.minutes, set=(f"training.init_from={BUNDLED}", threads)
    )
    play(adapted, corpus.genres, o.out / "first", 1, 10.0)
    time_to_first_stream = (time.perf_counter() - started) / 60
    scratch = noizenet.train(corpus, o.out / "fresh", minutes=o.minutes, set=("training.init_from=", threads))
    bundled = noizenet.load_model(BUNDLED)
    tagger = load_tagger(tagger_wheel())
    held_out = [analyze(r, tagger) for r in of_corpus(held_out_corpus, held_out_corpus.tracks, REAL_S)]
    train = [analyze(r, tagger) for r in of_corpus(corpus, corpus.split("train"), REAL_S)]
    training_audio = [analyze(r, tagger) for r in of_corpus(corpus, corpus.split("train"), ALL_S)]
    rows = {"training tracks of the artist": train}
    for name, model, genres in (
        ("bundled, unchanged", bundled, bundled.genres), ("bundled, fine-tuned", adapted, corpus.genres),
        ("trained from scratch", scratch, corpus.genres),
    ):  # fmt: skip
        files = play(model, genres, o.out / name.replace(" ", "-").replace(",", ""), o.streams, o.seconds)
        rows[name] = [analyze_file(f, tagger) for f in files]
    training_minutes, held_out_minutes = corpus.seconds("train") / 60, held_out_corpus.seconds() / 60
    print(
        f"{training_minutes:.0f} minutes of training audio, {held_out_minutes:.0f} held out; "
        f"{time_to_first_stream:.1f} minutes from the folder to the first stream\n"
    )
    print("| | " + " | ".join(METRICS) + " |", "|---" * (len(METRICS) + 1) + "|", sep="\n")
    for name, recordings in rows.items():
        held_out_inputs = MetricInputs(held_out, held_out, recordings, {}, corpus, tagger=True)
        training_inputs = MetricInputs(training_audio, held_out, recordings, {}, corpus, tagger=True)
        cells = []
        for metric in METRICS.values():
            try:
                e = metric.score(training_inputs if metric is COPYING else held_out_inputs, recordings)
                cells.append(f"{e.value:.3g} ({e.low:.3g} … {e.high:.3g})")
            except UsageError as error:
                cells.append(str(error))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def split_recordings(source: Path, out: Path) -> tuple[Path, Path]:
    """Return two folders of links to the recordings: training, and every third one held out."""
    folders = out / "learn", out / "aside"
    for i, file in enumerate(sorted(f for f in source.rglob("*") if f.is_file())):
        link = folders[i % 3 == 2] / file.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(file.resolve())
    return folders


def play(model: noizenet.Model, genres: list[str], folder: Path, streams: int, seconds: float) -> list[Path]:
    """Generate streams, genres in turn; return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    takes = []
    for i in range(streams):
        genre = genres[i % len(genres)] if model.architecture.genre_size else None
        takes.append((folder / f"{i}.flac", noizenet.Controls(seconds=seconds, seed=i, genre=genre, watch="off")))
    noizenet.generate_batch(model, takes)
    return [path for path, _ in takes]


def analyze_file(path: Path, tagger: Tagger) -> AnalyzedRecording:
    rate = noizenet.read(path).sample_rate
    return analyze(Recording(str(path), "", rate, partial(blocks_of, path)), tagger)


if __name__ == "__main__":
    main()
