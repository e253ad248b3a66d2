"""Profile of a training step: self time of torch's operators on one thread, grouped by purpose.

python benchmarks/profile_training.py CORPUS [--steps 20] [--set section.key=value]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from noizenet.corpus.corpus import Corpus
from noizenet.training.loop import Trainer
from noizenet.training.options import configure
from noizenet.training.plan import Budget

GROUPS = {
    "LSTM cells (oneDNN, forward and backward)": ("mkldnn_rnn", "lstm", "rnn_layer"),
    "matrix products": ("mm", "addmm", "bmm", "linear", "matmul"),
    "optimiser and clipping": ("_foreach", "fused_adam", "lerp", "addcdiv", "addcmul", "norm"),
    "casts and copies": ("copy_", "_to_copy", "cat", "contiguous", "clone", "index", "gather", "unfold"),
    "look-ups": ("embedding",),
    "spectra": ("fft",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", action="append", default=[])
    o = parser.parse_args()
    config = configure("sample-lstm", None, ("training.threads=1", *o.set))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Corpus(o.corpus), Path(folder), config, Budget(minutes=1), 0)
        torch.set_num_threads(1)
        for _ in range(3):
            trainer.state = trainer.learn().state
        with profile(activities=[ProfilerActivity.CPU]) as found:
            for _ in range(o.steps):
                trainer.state = trainer.learn().state
    times: Counter[str] = Counter()
    for event in found.key_averages():
        name = event.key.removeprefix("aten::")
        group = next((g for g, parts in GROUPS.items() if any(p in name for p in parts)), "elementwise and others")
        times[group] += event.self_cpu_time_total / 1000 / o.steps
    total = sum(times.values())
    print("| part of a step | ms | share |\n|---|---|---|")
    for group, ms in times.most_common():
        print(f"| {group} | {ms:.1f} | {ms / total:.0%} |")
    print(f"| all | {total:.1f} | |")
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=40))


if __name__ == "__main__":
    main()
