"""From a folder of an artist's recordings to a model that plays them: what adapting the bundled weights is worth.

    python examples/adapting.py SOURCE OUT [--minutes 6] [--streams 24] [--seconds 30]

SOURCE is a folder of 20 to 60 minutes of one artist, whom the bundled weights have not heard. Every third recording is
kept aside; no training sees it. Three models play: the bundled one as it is (all its genres alike), the bundled one
adapted for so many minutes, and one trained for the same minutes from the beginning. The table has the time from the
folder to the playing model, Fréchet and kernel distances of what is played to the recordings kept aside, and the share
of seconds nearer to what was learned from than 95 % of those recordings' are, with intervals over streams.
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

BUNDLED, REAL_S, WHOLE_S = "token-lstm", 120.0, 1800.0
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
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: one per core")
    o = parser.parse_args()
    threads = f"training.threads={o.threads}"
    learn, aside = deal(o.source, o.out)
    kept = noizenet.build_corpus(aside, o.out / "aside-corpus")
    begun = time.perf_counter()
    corpus = noizenet.build_corpus(learn, o.out / "corpus")
    adapted = noizenet.train(
        corpus, o.out / "adapted", minutes=o.minutes, set=(f"training.init_from={BUNDLED}", threads)
    )
    play(adapted, corpus.genres, o.out / "first", 1, 10.0)
    to_playing = (time.perf_counter() - begun) / 60
    fresh = noizenet.train(corpus, o.out / "fresh", minutes=o.minutes, set=("training.init_from=", threads))
    bundled = noizenet.load_model(BUNDLED)
    tagger = load_tagger(tagger_wheel())
    held = [analyze(r, tagger) for r in of_corpus(kept, kept.tracks, REAL_S)]
    train = [analyze(r, tagger) for r in of_corpus(corpus, corpus.split("train"), REAL_S)]
    learned = [analyze(r, tagger) for r in of_corpus(corpus, corpus.split("train"), WHOLE_S)]
    sides = {"the artist's training tracks": train}
    for name, model, genres in (
        ("bundled, as it is", bundled, bundled.genres), ("bundled, adapted", adapted, corpus.genres),
        ("from the beginning", fresh, corpus.genres),
    ):  # fmt: skip
        files = play(model, genres, o.out / name.replace(" ", "-").replace(",", ""), o.streams, o.seconds)
        sides[name] = [hear(f, tagger) for f in files]
    long, aside_long = corpus.seconds("train") / 60, kept.seconds() / 60
    print(f"{long:.0f} minutes to learn from, {aside_long:.0f} kept aside; {to_playing:.1f} from folder to playing\n")
    print("| | " + " | ".join(METRICS) + " |", "|---" * (len(METRICS) + 1) + "|", sep="\n")
    for name, side in sides.items():
        to_held = MetricInputs(held, held, side, {}, corpus, tagger=True)
        to_learned = MetricInputs(learned, held, side, {}, corpus, tagger=True)
        cells = []
        for metric in METRICS.values():
            try:
                e = metric.score(to_learned if metric is COPYING else to_held, side)
                cells.append(f"{e.value:.3g} ({e.low:.3g} … {e.high:.3g})")
            except UsageError as error:
                cells.append(str(error))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def deal(source: Path, out: Path) -> tuple[Path, Path]:
    """Return two folders of links to the recordings: what to learn from, and every third, kept aside."""
    folders = out / "learn", out / "aside"
    for i, file in enumerate(sorted(f for f in source.rglob("*") if f.is_file())):
        link = folders[i % 3 == 2] / file.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(file.resolve())
    return folders


def play(model: noizenet.Model, genres: list[str], folder: Path, streams: int, seconds: float) -> list[Path]:
    """Write streams, genre after genre; return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    takes = []
    for i in range(streams):
        genre = genres[i % len(genres)] if model.architecture.genre_size else None
        takes.append((folder / f"{i}.flac", noizenet.Controls(seconds=seconds, seed=i, genre=genre, watch="off")))
    noizenet.generate_batch(model, takes)
    return [path for path, _ in takes]


def hear(path: Path, tagger: Tagger) -> AnalyzedRecording:
    rate = noizenet.read(path).sample_rate
    return analyze(Recording(str(path), "", rate, partial(blocks_of, path)), tagger)


if __name__ == "__main__":
    main()
