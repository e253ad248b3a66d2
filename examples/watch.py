"""Effect of the monitor: the same streams without and with recovery from degenerate output.

    python examples/watch.py MODEL [--streams 6] [--seconds 60] [--temperatures 0.3,0.6,0.85,1.2]

Low temperatures lead to silence or frozen output and high ones to noise, so the monitor has to act. Streams differ by
seed and genre. The healthy share is measured on the output audio, including the joins of recoveries.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import noizenet
from noizenet.store.model import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--temperatures", default="0.3,0.6,0.85,1.2")
    o = parser.parse_args()
    model = load(o.model)
    print("| temperature | healthy, monitor off | degenerate | healthy, monitor on | degenerate | recoveries |")
    print("|---|---|---|---|---|---|")
    for temperature in map(float, o.temperatures.split(",")):
        cells = []
        rescues = 0
        for watch in ("off", "recover"):
            alive, dead = [], 0
            for i in range(o.streams):
                controls = noizenet.Controls(
                    seconds=o.seconds, seed=i, genre=model.genres[i % len(model.genres)] if model.genres else None,
                    temperature=temperature, watch=watch,
                )  # fmt: skip
                with tempfile.TemporaryDirectory() as folder:
                    made = noizenet.generate(model, Path(folder) / "stream.wav", controls)
                alive.append(made.aliveness.alive)
                dead += made.aliveness.death_s is not None
                rescues += len(made.watch.recoveries) if made.watch else 0
                print(f"{temperature} {watch} {i}: {made.aliveness.to_dict()}", file=sys.stderr, flush=True)
            cells += [f"{np.mean(alive):.1%}", f"{dead} of {o.streams}"]
        print(f"| {temperature:g} | {' | '.join(cells)} | {rescues} |", flush=True)


if __name__ == "__main__":
    main()
