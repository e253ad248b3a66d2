"""What the sample-lstm recipe's choices are worth, at equal training time.

    python examples/ablation.py CORPUS OUT [--minutes 0.7]

Each variant is trained from the same seed for the same time; the figure is bits per sample on held-out tracks.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from unittest import mock

import torch

import noizenet
from noizenet.model import network

VARIANTS: dict[str, tuple[str, ...]] = {
    "the recipe (batch 16, window 128)": (),
    "class embedding begins random": (),
    "batch 64, window 512": ("training.batch=64", "training.window=512"),
    "batch 16, window 512": ("training.window=512",),
    "batch 32, window 128": ("training.batch=32",),
    "learning rate 0.002": ("training.learning_rate=0.002",),
    "float32 throughout": ("training.precision=fp32",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=0.7)
    options = parser.parse_args()
    print("| variant | bits per sample | steps | minutes of sound read |\n|---|---|---|---|")
    for i, (name, settings) in enumerate(VARIANTS.items()):
        folder = options.out / str(i)
        shutil.rmtree(folder, ignore_errors=True)
        with mock.patch.object(network, "ordinal_code", torch.randn if "random" in name else network.ordinal_code):
            model = noizenet.train(options.corpus, folder, set=settings, minutes=options.minutes)
        m = model.training["metrics"]
        bits, sound = m["best_validation_bits_per_frame"], m["audio_hours"] * 60
        print(f"| {name} | {bits:.3f} | {m['steps']:,} | {sound:.1f} |", flush=True)


if __name__ == "__main__":
    main()
