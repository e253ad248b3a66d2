"""Effect of beat conditioning: bits that the beat phase explains, and the tempo clarity of generated music.

    python examples/clock.py MODEL CORPUS [--pulses 0,1.5,3,4.5] [--streams 48] [--seconds 26]

The first row is held-out music, the second the same after a round trip through the codec, the third music generated
without a beat. The others are generated at tempi drawn from each genre's tracks, with several values of the beat
guidance (--pulses). Tempo clarity is the median over the streams of a genre (the highest autocorrelation of the onset
strength at lags of 0.25 to 2 s). Distances are to the training music, as in ``noizenet evaluate``. The monitor is off,
genres take turns, and all rows use the same seeds.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from temperatures import features, generate_batch, reference_set, scores

import noizenet
from noizenet.corpus.excerpts import excerpt_starts
from noizenet.evaluation.fetch import tagger_wheel
from noizenet.evaluation.overtime import tempo_clarity
from noizenet.evaluation.tagger import load_tagger
from noizenet.training.validation import Validation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--pulses", default="0,1.5,3,4.5")
    parser.add_argument("--streams", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=26.0)
    o = parser.parse_args()
    torch.set_num_threads(1)
    model, corpus, tagger = noizenet.load_model(o.model), noizenet.load_corpus(o.corpus), load_tagger(tagger_wheel())
    for name, phases in (("with the beat", model.architecture.options.clock), ("without the beat", 0)):
        held = Validation(corpus, corpus.split("validation"), model.representation, window=96, seconds=240, seed=0,
                          clock=phases)  # fmt: skip
        print(f"{name}: {held.measure(model.network, bf16=False)['bits_per_second']:.1f} bits per second", flush=True)
    inputs = reference_set(corpus, tagger, o.seconds)
    print("| | Fréchet, tagger | Fréchet, crafted | genre accuracy | " + " | ".join(corpus.genres) + " |")
    print("|---" * (4 + len(corpus.genres)) + "|")
    per_genre = max(1, o.streams // len(corpus.genres))
    excerpts = [
        (g, corpus.waveform(t, round(start * corpus.sample_rate), round(o.seconds * corpus.sample_rate)))
        for g in corpus.genres
        for t, start in excerpt_starts([t for t in corpus.held_out() if t.genre == g], per_genre, o.seconds)
    ]
    r = model.representation
    rows = {
        "held-out music": excerpts,
        "codec round trip": [(g, r.decode(r.encode(w))) for g, w in excerpts],
        "without a beat": play(model, o.streams, o.seconds, 0.0, 0.0),
        **{f"beat guidance {p:g}": play(model, o.streams, o.seconds, None, p) for p in map(float, o.pulses.split(","))},
    }
    for name, takes in rows.items():
        analyzed = [features(g, w.samples, w.sample_rate, tagger) for g, w in takes]
        cells = scores(inputs, analyzed)
        for genre in corpus.genres:
            clarity = [
                tempo_clarity(s.features).mean() for (g, _), s in zip(takes, analyzed, strict=True) if g == genre
            ]
            cells.append(f"{np.median(clarity):.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def play(
    model: noizenet.Model, streams: int, seconds: float, tempo: float | None, beat_guidance: float
) -> list[tuple[str, noizenet.Waveform]]:
    """Generate streams, genres in turn; return genre and waveform of each."""
    genres = [model.genres[i % len(model.genres)] for i in range(streams)]
    controls = [
        noizenet.Controls(seconds=seconds, seed=i, genre=g, tempo=tempo, beat_guidance=beat_guidance, watch="off")
        for i, g in enumerate(genres)
    ]
    rate = model.representation.sample_rate
    return [(g, noizenet.Waveform(x, rate)) for g, x in zip(genres, generate_batch(model, controls), strict=True)]


if __name__ == "__main__":
    main()
