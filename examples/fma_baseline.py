"""FMA's published baseline on its official split, from the metadata that FMA publishes.

    python examples/fma_baseline.py FMA_METADATA [--subset small]

FMA_METADATA is the folder unpacked from fma_metadata.zip. Prints the accuracy of a support-vector classifier on the
official test tracks for each of the eleven features and for all of them together.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from noizenet.base.errors import NoizenetError
from noizenet.evaluation.fma import baseline


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metadata", type=Path)
    parser.add_argument("--subset", default="small")
    o = parser.parse_args()
    try:
        found = baseline(o.metadata, o.subset)
    except NoizenetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"fma_{found.subset}: {found.train_tracks:,} training and {found.test_tracks:,} test tracks\n")
    print("| features | accuracy |\n|---|---|")
    for name, accuracy in found.accuracy.items():
        print(f"| {name} | {accuracy:.1%} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
