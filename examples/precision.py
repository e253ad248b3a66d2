"""Cost of reduced weight precision: bits per sample of held-out music with the compiled loop in each precision.

python examples/precision.py MODEL CORPUS [--tracks 12] [--seconds 5]
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from noizenet.audio.waveform import Waveform
from noizenet.corpus.corpus import Corpus
from noizenet.model.stepper import Stepper
from noizenet.model.weights import PRECISIONS
from noizenet.store.model import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--tracks", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5.0)
    o = parser.parse_args()
    model, corpus = load(o.model), Corpus(o.corpus)
    head = model.network.head
    tracks = sorted(corpus.split("test"), key=lambda t: t.id)
    tracks = tracks[:: max(1, len(tracks) // o.tracks)][: o.tracks]
    print("| weights | bits per sample | difference to float32 | bytes read per sample |\n|---|---|---|---|")
    first = 0.0
    for precision in PRECISIONS:
        stepper = Stepper(model.weights, model.representation.silence(), precision=precision)
        cost = []
        for track in tracks:
            count = round(o.seconds * corpus.sample_rate)
            samples = corpus.samples(track, max(0, (track.frames - count) // 2), count)
            frames = model.representation.encode(Waveform(samples, corpus.sample_rate))
            stepper.reset()
            stepper.set_genre(np.eye(len(model.genres), dtype=np.float32)[model.genres.index(track.genre)])
            output = torch.from_numpy(stepper.predict(frames))
            # The bits of the coarse features, 1 / 256 a sample, are left out: they do not depend on the precision.
            cost.append(float(head.loss(output[None], torch.from_numpy(frames.astype(np.int64))[None])) / math.log(2))
        bits = float(np.mean(cost))
        first = first or bits
        print(f"| {precision} | {bits:.4f} | {bits - first:+.4f} | {stepper.bytes_per_frame:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
