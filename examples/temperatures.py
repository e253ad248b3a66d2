"""How warm should a model be sampled, and how firmly held to its genre? Distances to music, genres told apart.

    python examples/temperatures.py MODEL CORPUS [--points 1.1:0,1.2:1] [--streams 36] [--seconds 20]

A point is TEMPERATURE or TEMPERATURE:GUIDANCE. Unwatched streams, genres in turn, the same seeds for each point;
distances to the training music as in ``noizenet evaluate``.
"""

from __future__ import annotations

import argparse

import numpy as np

import noizenet
from noizenet.evaluation.fetch import tagger_wheel
from noizenet.evaluation.material import Recording, of_corpus, sound
from noizenet.evaluation.measure import Evidence
from noizenet.evaluation.measures import FRECHET_CRAFTED, FRECHET_TAGGER, GENRE
from noizenet.evaluation.tagger import load_tagger


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--points", default="1.0:0,1.0:1,1.1:0,1.1:1,1.2:0,1.2:0.5,1.2:1,1.2:2,1.3:1")
    parser.add_argument("--streams", type=int, default=36)
    parser.add_argument("--seconds", type=float, default=20.0)
    o = parser.parse_args()
    model, corpus, tagger = noizenet.load_model(o.model), noizenet.load_corpus(o.corpus), load_tagger(tagger_wheel())
    train = [sound(r, tagger) for r in of_corpus(corpus, corpus.split("train"), 30.0)]
    held = [sound(r, tagger) for r in of_corpus(corpus, corpus.held_out(), o.seconds)]
    evidence = Evidence(train, held, held, {}, corpus, tagger=True)
    rows = {"held-out music": held}
    print(
        "| temperature | guidance | Fréchet, tagger | Fréchet, crafted | genre accuracy |", "|---" * 5 + "|", sep="\n"
    )
    for text in ("", *o.points.split(",")):
        temperature, _, guidance = text.partition(":")
        side = rows["held-out music"] if not text else []
        for i in range(o.streams if text else 0):
            genre = model.genres[i % len(model.genres)]
            controls = noizenet.Controls(
                seconds=o.seconds, seed=i, genre=genre, temperature=float(temperature),
                guidance=float(guidance) if guidance else None, watch="off",
            )  # fmt: skip
            samples = np.concatenate([b.samples for b in noizenet.stream(model, controls)])
            rate = model.representation.sample_rate
            side.append(sound(Recording(f"{genre} {i}", genre, rate, lambda x=samples: iter([x])), tagger))  # type: ignore[misc]
        cells = []
        for measure in (FRECHET_TAGGER, FRECHET_CRAFTED, GENRE):
            e = measure.score(evidence, side)
            cells.append(f"{e.value:.3g} ({e.low:.3g} … {e.high:.3g})")
        print(f"| {temperature or 'held-out music'} | {guidance or '–'} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
