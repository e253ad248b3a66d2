"""False alarms of the detector of degenerate audio (noizenet.evaluation.aliveness) on a corpus's held-out tracks.

    python examples/held_out.py CORPUS

Held-out music must be at least 99 % healthy, or the detector's thresholds are wrong.
"""

from __future__ import annotations

import sys
from collections import Counter

import noizenet
from noizenet.evaluation.aliveness import Aliveness


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    corpus = noizenet.load_corpus(sys.argv[1])
    total: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    for track in corpus.held_out():
        watch = Aliveness(corpus.sample_rate)
        watch.push(corpus.mono(track))
        report = watch.finish()
        total[track.genre] += report.seconds  # type: ignore[assignment]
        dead[track.genre] += report.dead_s  # type: ignore[assignment]
        if report.dead_s:
            print(f"{track.name}: {report.to_dict()}", file=sys.stderr)
    print("| genre | minutes held out | healthy |\n|---|---|---|")
    for genre in corpus.genres:
        print(f"| {genre} | {total[genre] / 60:.1f} | {1 - dead[genre] / total[genre]:.2%} |")
    total_s, total_dead = sum(total.values()), sum(dead.values())
    print(f"| all | {total_s / 60:.1f} | {1 - total_dead / total_s:.2%} |")


if __name__ == "__main__":
    main()
