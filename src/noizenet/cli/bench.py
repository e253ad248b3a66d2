"""``noizenet bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noizenet.base.errors import UsageError
from noizenet.cli.output import print_json, print_message, print_table

if TYPE_CHECKING:
    from noizenet.bench.figure import Measurement

PARTS = ("starting", "building", "training", "stepping", "playing")


def bench(
    only: Annotated[str, typer.Option(help="starting, building, training, stepping, playing or memory.")] = "",
    audio: Annotated[
        Path | None, typer.Option(help="Recordings for building and memory (default: synthetic ones).")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Measurements of each pair; the medians are shown.")] = 3,
    memory: Annotated[bool, typer.Option("--memory", help="Also measure peak memory (half an hour).")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the speed of noizenet against the libraries alone."""
    if only and only not in (*PARTS, "memory"):
        raise UsageError(f"--only {only}: expected {', '.join(PARTS)} or memory")
    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: expected at least 1")
    wanted = [only] if only else [*PARTS, *(["memory"] if memory else [])]
    figures: list[Measurement] = []
    for part in wanted:
        print_message(f"measuring {part} …")
        figures += _measure(part, audio, rounds)
    if json:
        print_json(
            {
                "figures": [
                    {
                        "name": f.name,
                        "value": f.value,
                        "unit": f.unit,
                        "target": f.target,
                        "met": f.met,
                        "detail": f.detail,
                    }
                    for f in figures
                ]
            }
        )
        return
    labels = {True: "met", False: "MISSED", None: ""}
    rows = [
        [
            f.name,
            f"{f.value:.3g} {f.unit}",
            "" if f.target is None else f"{'≥' if f.higher else '≤'} {f.target:.3g}",
            labels[f.met],
            f.detail,
        ]
        for f in figures
    ]
    print_table("", ["figure", "measured", "target", "", ""], rows)


def _measure(part: str, audio: Path | None, rounds: int) -> list[Measurement]:
    if part == "starting":
        from noizenet.bench import starting

        return starting.measure(rounds)
    if part == "building":
        from noizenet.bench import building

        return building.measure(audio, rounds)
    if part == "training":
        from noizenet.bench import training

        return training.measure(rounds)
    if part == "stepping":
        from noizenet.bench import stepping

        return stepping.measure(rounds)
    if part == "playing":
        from noizenet.bench import playing

        return playing.measure(rounds)
    from noizenet.bench import memory

    return memory.measure(audio)
