"""What a clock is worth: bits of a frame that the beat explains, and the pulse of what is played.

    python examples/clock.py MODEL CORPUS [--pulses 0,1.5,3,4.5] [--streams 48] [--seconds 26]

The first row is held-out music, the second the same through the model's codec, the third what the model plays when it
is told nothing of a beat; then at tempi drawn from each genre's pieces, for several settings of the beat_guidance.
Tempo clarity is the median over the streams of a genre (the highest autocorrelation of the onset strength at lags of
0.25 to 2 s); distances are to the training music, as in ``noizenet evaluate``. Unwatched streams, genres in turn, the
same seeds.
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
    for name, told in (("told the beat", model.architecture.options.clock), ("told nothing", 0)):
        held = Validation(corpus, corpus.split("validation"), model.representation, window=96, seconds=240, seed=0,
                          clock=told)  # fmt: skip
        print(f"{name}: {held.measure(model.network, bf16=False)['bits_per_second']:.1f} bits a second", flush=True)
    inputs = reference_set(corpus, tagger, o.seconds)
    print("| | Fréchet, tagger | Fréchet, crafted | genre accuracy | " + " | ".join(corpus.genres) + " |")
    print("|---" * (4 + len(corpus.genres)) + "|")
    each = max(1, o.streams // len(corpus.genres))
    stretches = [
        (g, corpus.waveform(t, round(at * corpus.sample_rate), round(o.seconds * corpus.sample_rate)))
        for g in corpus.genres
        for t, at in excerpt_starts([t for t in corpus.held_out() if t.genre == g], each, o.seconds)
    ]
    r = model.representation
    rows = {
        "held-out music": stretches,
        "the same through the codec": [(g, r.decode(r.encode(w))) for g, w in stretches],
        "without a beat": play(model, o.streams, o.seconds, 0.0, 0.0),
        **{f"beat_guidance {p:g}": play(model, o.streams, o.seconds, None, p) for p in map(float, o.pulses.split(","))},
    }
    for name, takes in rows.items():
        side = [features(g, w.samples, w.sample_rate, tagger) for g, w in takes]
        cells = scores(inputs, side)
        for genre in corpus.genres:
            clarity = [tempo_clarity(s.features).mean() for (g, _), s in zip(takes, side, strict=True) if g == genre]
            cells.append(f"{np.median(clarity):.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def play(
    model: noizenet.Model, streams: int, seconds: float, tempo: float | None, beat_guidance: float
) -> list[tuple[str, noizenet.Waveform]]:
    """Return what a model plays, genre after genre."""
    genres = [model.genres[i % len(model.genres)] for i in range(streams)]
    wishes = [
        noizenet.Controls(seconds=seconds, seed=i, genre=g, tempo=tempo, beat_guidance=beat_guidance, watch="off")
        for i, g in enumerate(genres)
    ]
    rate = model.representation.sample_rate
    return [(g, noizenet.Waveform(x, rate)) for g, x in zip(genres, generate_batch(model, wishes), strict=True)]


if __name__ == "__main__":
    main()
