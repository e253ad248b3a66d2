"""Remedies against drift of a sample-level model in free-running generation, each alone, at equal CPU time.

    python examples/remedies.py CORPUS OUT [--minutes 3] [--streams 12] [--seconds 120]

Each variant is trained on one thread for the same CPU time; then streams of every genre are generated without the
monitor. The table has bits per sample on held-out tracks, the healthy share of the time, the level of the last minute,
and the number of streams that end within the range of level and centroid of held-out music, of all genres and of their
own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from noizenet.corpus.corpus import Corpus
from noizenet.model.sampling import Sampling, default_sampling

sys.path.insert(0, str(Path(__file__).parent))
from ablation import held_out_bits, slug, train_variant
from streams import measure

UNCALIBRATED = "training.calibration_seconds=0"
BASE = ("model.coarse_features=false", "training.gain_jitter=0", UNCALIBRATED)
VARIANTS: dict[str, tuple[str, ...]] = {
    "none": BASE,
    "none, and no LPC": (*BASE, "model.lpc_order=0", "model.mixtures=3"),
    "none, categorical head": (*BASE, "model.head=categorical", "model.embedded=2"),
    "input noise, half a class": (*BASE, "training.input_noise=0.5"),
    "input noise, two classes": (*BASE, "training.input_noise=2"),
    "scheduled sampling (parallel), half": (*BASE, "training.scheduled_sampling=0.5"),
    "gain jitter 0.1": (*BASE, "training.gain_jitter=0.1"),
    "coarse features": ("training.gain_jitter=0", "model.random_tilt=0", UNCALIBRATED),
    "coarse features and gain jitter 0.03": ("model.random_tilt=0", UNCALIBRATED),
    "coarse features and random tilt 0.15": ("training.gain_jitter=0", UNCALIBRATED),
    "coarse features, gain jitter 0.03 and random tilt 0.15": (UNCALIBRATED,),
    "coarse features and calibration": ("training.gain_jitter=0", "model.random_tilt=0"),
    "coarse features, gain jitter 0.03 and calibration": ("model.random_tilt=0",),
    "coarse features, gain jitter 0.03, random tilt 0.15 and calibration (the recipe)": (),
    "coarse features, gain jitter 0.1, random tilt 0.15 and calibration": ("training.gain_jitter=0.1",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--streams", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    o = parser.parse_args()
    o.out.mkdir(parents=True, exist_ok=True)
    head = (
        "| remedy | bits per sample | healthy | failure modes | level at the end | ends like held-out music | … genre |"
    )
    print(head, "|---" * 7 + "|", sep="\n")
    for name, sets in VARIANTS.items():
        if o.only not in name:
            continue
        folder = o.out / slug(name)
        model = train_variant(o.corpus, folder, sets, o.minutes)
        rows, text = measure(
            model, Corpus(o.corpus), o.streams, o.seconds, Sampling(default_sampling(model.architecture).temperature)
        )
        (folder / "table.md").write_text(text + "\n")
        bits = held_out_bits(model, Corpus(o.corpus))
        causes = ", ".join(sorted({c for cell in rows.causes for c in cell.split()})) or "–"
        level, count = rows.level_last, len(rows)
        row = (
            f"| {name} | {bits:.3f} | {rows.alive.mean():.1%} | {causes} | {level.min():.0f} … {level.max():.0f} dB "
            f"| {rows.within_music.sum()} of {count} | {rows.within.sum()} of {count} |"
        )
        with (o.out / "table.md").open("a") as out:
            out.write(row + "\n")
        print(row, flush=True)


if __name__ == "__main__":
    main()
