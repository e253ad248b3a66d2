"""Train the codec of token-lstm.

    python examples/codec_train.py CORPUS OUT --minutes 60 [--set width=512 ...]

CORPUS must be 22,050 Hz mono; only its training tracks are read. Minutes are CPU time of one thread. An interrupted run
resumes if the command is repeated. OUT is the codec's folder: ``representation.codec=OUT``.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from noizenet.base.config import from_dict, parse_assignment
from noizenet.corpus.corpus import Corpus
from noizenet.representation.codec_weights import CodecShape
from noizenet.training.codec_training import train_codec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--set", action="append", default=[], help="key=value of the codec's shape")
    parser.add_argument("--seed", type=int, default=0)
    o = parser.parse_args()
    torch.set_num_threads(1)
    values = dataclasses.asdict(CodecShape())
    for assignment in o.set:
        (_, key), value = parse_assignment(f"codec.{assignment}")
        values[key] = value
    train_codec(
        Corpus(o.corpus), o.out, from_dict(CodecShape, values, "codec"), minutes=o.minutes, seed=o.seed,
        command=" ".join(["python", *sys.argv]),
        on_progress=lambda text, done: print(f"{done:6.1%} {text}", file=sys.stderr, flush=True),
    )  # fmt: skip


if __name__ == "__main__":
    main()
