"""Sampling settings of a model (temperature, genre guidance, top-p), compared by distances and genre accuracy.

    python examples/temperatures.py MODEL CORPUS [--points 1.1:0,1.2:1] [--streams 36] [--seconds 20]

A point is TEMPERATURE, TEMPERATURE:GUIDANCE or TEMPERATURE:GUIDANCE:TOP_P. The monitor is off, genres take turns, and
all points use the same seeds. Distances are to the training music, as in ``noizenet evaluate``.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

import noizenet
from noizenet.evaluation.fetch import tagger_wheel
from noizenet.evaluation.metric import MetricInputs
from noizenet.evaluation.metrics import FRECHET_CRAFTED, FRECHET_TAGGER, GENRE
from noizenet.evaluation.recording import AnalyzedRecording, Recording, analyze, of_corpus
from noizenet.evaluation.tagger import Tagger, load_tagger
from noizenet.generation.stream import Stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--points", default="1.0:1,1.1:0,1.1:1,1.1:2,1.2:0,1.2:1,1.2:2,1.3:1,1.2:1:0.97,1.2:1:0.9")
    parser.add_argument("--streams", type=int, default=36)
    parser.add_argument("--seconds", type=float, default=20.0)
    o = parser.parse_args()
    model, corpus, tagger = noizenet.load_model(o.model), noizenet.load_corpus(o.corpus), load_tagger(tagger_wheel())
    inputs = reference_set(corpus, tagger, o.seconds)
    print("| temperature | genre guidance | top-p | Fréchet, tagger | Fréchet, crafted | genre accuracy |")
    print("|---" * 6 + "|")
    for text in ("", *o.points.split(",")):
        temperature, genre_guidance, top_p = ([*text.split(":"), "", ""])[:3]
        recordings = [] if text else list(inputs.held_out)
        genres = [model.genres[i % len(model.genres)] for i in range(o.streams if text else 0)]
        controls = [
            noizenet.Controls(
                seconds=o.seconds, seed=i, genre=genre, temperature=float(temperature),
                genre_guidance=float(genre_guidance) if genre_guidance else None,
                top_p=float(top_p) if top_p else None, watch="off",
            )
            for i, genre in enumerate(genres)
        ]  # fmt: skip
        rate = model.representation.sample_rate
        for genre, samples in zip(genres, generate_batch(model, controls), strict=True):
            recordings.append(features(genre, samples, rate, tagger))
        cells = scores(inputs, recordings)
        print(
            f"| {temperature or 'held-out music'} | {genre_guidance or '–'} | {top_p or '–'} | "
            + " | ".join(cells)
            + " |",
            flush=True,
        )


def reference_set(corpus: noizenet.Corpus, tagger: Tagger, seconds: float) -> MetricInputs:
    """Return the training music as the reference of distances, and held-out music for comparison."""
    train = [analyze(r, tagger) for r in of_corpus(corpus, corpus.split("train"), 30.0)]
    held_out = [analyze(r, tagger) for r in of_corpus(corpus, corpus.held_out(), seconds)]
    return MetricInputs(train, held_out, held_out, {}, corpus, tagger=True)


def scores(inputs: MetricInputs, recordings: list[AnalyzedRecording]) -> list[str]:
    """Return both Fréchet distances and the genre accuracy, with intervals, as cells of a table."""
    found = [measure.score(inputs, recordings) for measure in (FRECHET_TAGGER, FRECHET_CRAFTED, GENRE)]
    return [f"{e.value:.3g} ({e.low:.3g} … {e.high:.3g})" for e in found]


def features(genre: str, samples: NDArray[np.float32], rate: int, tagger: Tagger) -> AnalyzedRecording:
    return analyze(Recording(genre, genre, rate, lambda: iter([samples])), tagger)


def generate_batch(model: noizenet.Model, controls: list[noizenet.Controls]) -> list[NDArray[np.float32]]:
    """Return the samples of streams that are generated as one batch."""
    if not controls:
        return []
    blocks = list(Stream.generate_batch(Stream.many(model, controls)))
    return [np.concatenate([b[i].samples for b in blocks]) for i in range(len(controls))]


if __name__ == "__main__":
    main()
