"""Health and drift of a model: many long free-running streams, compared with the range of held-out music.

    python examples/streams.py MODEL CORPUS OUT [--streams 24] [--minutes 10] [--temperature T]

Each stream has a different seed, genres take turns, and streams start from the model's learned initial state with the
monitor off. All streams run in lockstep. OUT/streams.csv has a row for each stream, OUT/table.md one for each genre.
The range of a genre is that of all minutes of its held-out tracks, one or two artists; the range of "music" is that of
all genres' minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.aliveness import Aliveness, Report
from noizenet.evaluation.drift import DescriptorRange, Descriptors, descriptor_range, descriptors_of
from noizenet.generation.tempo import tempo_of_genre
from noizenet.model.batch import step_batch
from noizenet.model.sampling import Sampling, default_sampling
from noizenet.model.stepper import Stepper
from noizenet.store.model import Model, load

CHUNK_S, MINUTE_S = 5.0, 60.0


def run(
    model: Model, streams: int, seconds: float, sampling: Sampling, seed: int
) -> list[tuple[str, Report, Descriptors, Descriptors]]:
    """Return for each stream its genre, report, and level and centroid of the first and the last minute."""
    r, genres = model.representation, model.genres
    first = Stepper(model.weights, r.silence())
    steppers, watches = [], [Aliveness(r.sample_rate) for _ in range(streams)]
    for i in range(streams):
        stepper = first.fork()
        stepper.reset(seed + i)
        mix = np.eye(len(genres), dtype=np.float32)[i % len(genres)]
        stepper.set_genre(mix)
        tempo = tempo_of_genre(model.training.get("tempi", {}), genres, mix, seed + i)
        stepper.set_pace(tempo / 60 / r.frame_rate)
        steppers.append(stepper)
    decoders = [r.decoder() for _ in steppers]
    minute = min(seconds, MINUTE_S)
    head: list[np.ndarray] = []
    tail: list[np.ndarray] = []
    started, chunks = time.perf_counter(), round(seconds / CHUNK_S)
    for n in range(chunks):
        frames = step_batch(steppers, round(CHUNK_S * r.frame_rate), sampling)
        block = np.stack([sound[:, 0] for sound in decoders[0].push_batch(decoders, frames)])
        for watch, samples in zip(watches, block, strict=True):
            watch.push(samples)
        if (n + 1) * CHUNK_S <= minute:
            head.append(block)
        tail = [*tail, block][-round(minute / CHUNK_S) :]
        rate = (n + 1) * CHUNK_S * streams / (time.perf_counter() - started)
        text = f"\r{(n + 1) * CHUNK_S:.0f} of {seconds:.0f} s, × {rate:.1f} in total"
        print(text, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    early, late = ([descriptors_of(x, r.sample_rate) for x in np.concatenate(part, 1)] for part in (head, tail))
    return [(genres[i % len(genres)], watches[i].finish(), early[i], late[i]) for i in range(streams)]


def ranges(corpus: Corpus, seconds: float) -> dict[str, DescriptorRange]:
    """Return the range of each genre's held-out tracks over segments of some seconds, and that of "music"."""
    places: dict[str, list[Descriptors]] = {}
    count = round(seconds * corpus.sample_rate)
    for track in corpus.held_out():
        for at in range(0, max(1, track.frames - count + 1), count):
            samples = corpus.mono(track, at, count)
            if np.abs(samples).max() > 0:
                place = descriptors_of(samples, corpus.sample_rate)
                for name in (track.genre, "music"):
                    places.setdefault(name, []).append(place)
    return {genre: descriptor_range(found) for genre, found in places.items()}


def table(rows: pd.DataFrame, held: dict[str, DescriptorRange]) -> str:
    lines = [
        "| genre | streams | healthy | level, first → last minute | held-out music | centroid, first → last "
        "| held-out music | last minute within both | within those of all held-out music |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for genre, part in rows.groupby("genre"):
        bounds = held[str(genre)]
        lines.append(
            f"| {genre} | {len(part)} | {part.alive.mean():.2%} "
            f"| {part.level_first.median():.1f} → {part.level_last.median():.1f} dB "
            f"| {bounds.level_db[0]:.1f} … {bounds.level_db[1]:.1f} dB "
            f"| {part.centroid_first.median():,.0f} → {part.centroid_last.median():,.0f} Hz "
            f"| {bounds.centroid_hz[0]:,.0f} … {bounds.centroid_hz[1]:,.0f} Hz | {part.within.sum()} of {len(part)} "
            f"| {part.within_music.sum()} of {len(part)} |"
        )
    lines.append(
        f"| all | {len(rows)} | {rows.alive.mean():.2%} ({(rows.alive == 1).sum()} streams completely) | | | | "
        f"| {rows.within.sum()} of {len(rows)} | {rows.within_music.sum()} of {len(rows)} |"
    )
    return "\n".join(lines)


def measure(
    model: Model, corpus: Corpus, streams: int, seconds: float, sampling: Sampling, seed: int = 1000
) -> tuple[pd.DataFrame, str]:
    """Return a data frame with one row per stream, and the table."""
    held = ranges(corpus, min(seconds, MINUTE_S))
    rows = pd.DataFrame(
        {
            "genre": genre, "alive": report.alive, "death_s": report.death_s, "causes": " ".join(report.causes),
            "level_first": early.level_db, "level_last": late.level_db, "centroid_first": early.centroid_hz,
            "centroid_last": late.centroid_hz, "within": held[genre].contains(late),
            "within_music": held["music"].contains(late),
        }
        for genre, report, early, late in run(model, streams, seconds, sampling, seed)
    )  # fmt: skip
    return rows, table(rows, held)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--streams", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first stream; the others follow")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--temperature", type=float, help="default: the model's")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--guidance", dest="genre_guidance", type=float, help="genre guidance (default: the model's)")
    o = parser.parse_args()
    o.out.mkdir(parents=True, exist_ok=True)
    model = load(o.model)
    given = {"temperature": o.temperature, "genre_guidance": o.genre_guidance}
    default = replace(default_sampling(model.architecture), top_p=o.top_p)
    sampling = replace(default, **{name: value for name, value in given.items() if value is not None})
    rows, text = measure(model, Corpus(o.corpus), o.streams, o.minutes * 60, sampling, o.seed)
    rows.to_csv(o.out / "streams.csv", index=False)
    (o.out / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
