"""Collect the logs of trainings in results/accelerator.json: ``python collect.py GROUP=LOG.jsonl … --out FILE``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the options, the learning curve and the last measurement of one training."""
    first, measured = rows[0], [r for r in rows if "old" in r]
    ended = next((r for r in rows if "finished" in r), {})
    curve = [
        {
            "seconds": r["seconds"], "passes": r["passes"], "training": round(r["loss"], 1),
            "old": round(r["old"]["first8"], 1), "new": round(r["new"]["first8"], 1),
        }
        for r in measured
    ]  # fmt: skip
    copied = ("weights", "hours", "seed", "device", "torch", "options")
    found: dict[str, Any] = {"name": first["name"], **{k: first[k] for k in copied}, "curve": curve}
    if measured:
        found["last"] = {k: measured[-1][k] for k in ("old", "new")}
    return found | {k: ended[k] for k in ("step", "seconds", "frames_per_second", "peak_gb") if k in ended}


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("results/accelerator.json"))
    a = parser.parse_args()
    groups: dict[str, list[Any]] = {}
    for group, path in (pair.split("=", 1) for pair in a.groups):
        rows: dict[str, list[dict[str, Any]]] = {}
        for line in Path(path).read_text().splitlines():
            row = json.loads(line)
            rows.setdefault(row["name"], []).append(row)
        groups[group] = [summary(r) for r in rows.values()]
    units = "bits a second of the eight codes of noizenet-2 (training: of all ten); held-out tracks of the first " \
            "generation (old) and of later packages (new)"  # fmt: skip
    a.out.write_text(json.dumps({"unit": units, **groups}, indent=1) + "\n")


if __name__ == "__main__":
    main()
