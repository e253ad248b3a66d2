"""Stacks of layers of a token network, compared by bits per second of validation tracks after equal training.

    python examples/layers.py CORPUS OUT [--minutes 5] [--only NAME]

Each variant of token-lstm is trained from scratch for the same CPU time on one thread. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from ablation import slug, train_variant

BASE = ("training.init_from=", "training.threads=1", "training.transpose=0")
VARIANTS: dict[str, tuple[str, ...]] = {
    "two layers": ("model.residual=false",),
    "two layers, residual (the recipe)": (),
    "two layers, residual, the second dilated by 4": ("model.dilations=[1,4]",),
    "three layers, residual": ("model.layers=3",),
    "three layers, residual, dilated by 1, 4, 16": ("model.layers=3", "model.dilations=[1,4,16]"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    o = parser.parse_args()
    torch.set_num_threads(1)
    o.out.mkdir(parents=True, exist_ok=True)
    print("| layers | steps | bits/s |\n|---|---|---|", flush=True)
    for name, sets in VARIANTS.items():
        if o.only not in name:
            continue
        result_file = o.out / f"{slug(name)}.json"
        if not result_file.exists():
            model = train_variant(o.corpus, o.out / slug(name), (*BASE, *sets), o.minutes, recipe="token-lstm")
            metrics = model.training["metrics"]
            result_file.write_text(
                json.dumps({"steps": metrics["steps"], "bits": metrics["best_validation_bits_per_second"]})
            )
        found = json.loads(result_file.read_text())
        print(f"| {name} | {found['steps']:,} | {found['bits']:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
