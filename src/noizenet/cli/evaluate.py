"""``noizenet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from noizenet.base.errors import UsageError
from noizenet.cli.controls import HELP
from noizenet.cli.output import print_json, print_notes, print_table, progress_bar


def evaluate(
    sources: Annotated[list[Path], typer.Argument(help="MODEL CORPUS OUT, or with --audio: CORPUS OUT.")],
    audio: Annotated[Path | None, typer.Option(help="Evaluate this folder's audio files instead of a model.")] = None,
    streams: Annotated[int, typer.Option(help="Number of streams to generate.")] = 24,
    seconds: Annotated[float, typer.Option(help="Length of each stream.")] = 60.0,
    embedding: Annotated[str, typer.Option(help="tagger (downloaded once) or crafted (no download).")] = "tagger",
    real_seconds: Annotated[float, typer.Option(help="Seconds analysed of each real track.")] = 60.0,
    seed: Annotated[int, typer.Option(help=HELP["seed"])] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare generated music with real music.

    The report covers degenerate output, distances, genre accuracy, copying and changes over time.
    """
    from noizenet import api

    expected = 2 if audio is not None else 3
    if len(sources) != expected:
        form = "--audio FOLDER CORPUS OUT" if audio is not None else "MODEL CORPUS OUT"
        raise UsageError(f"evaluate needs {form}; {len(sources)} paths were given")
    model = None if audio is not None else sources[0]
    corpus, out = sources[-2:]
    with progress_bar("evaluating") as update:
        report = api.evaluate(
            model, corpus, out, audio=audio, streams=streams, seconds=seconds, embedding=embedding,
            real_seconds=real_seconds, seed=seed, on_progress=lambda step, share: update(share, 1.0, step),
        )  # fmt: skip
    print_notes(report["warnings"])
    print_notes(_skipped(report))
    if json:
        print_json(report)
        return
    rows: list[list[object]] = []
    for figure in report["figures"]:
        real = figure["real"]
        unit = f" ({figure['unit']})" if figure["unit"] else ""
        rows.append(
            [
                f"{figure['measure']}{unit}", _short(figure["made"]), _short(real) if real else "–",
                ", ".join(f"{name} {_short(e)}" for name, e in figure["beside"].items()),
            ]
        )  # fmt: skip
    rows += [["copying", report["copying"].get("verdict", "–"), "", ""], ["report", str(out / "report.html"), "", ""]]
    print_table(report["summary"], ["metric", "generated", "real", "references"], rows)
    for figure in report["figures"]:
        if figure["made"]["note"]:
            print_notes([f"{figure['measure']}: {figure['made']['note']}"])
    print_notes(_withheld(report["unsaid"]))


def _skipped(report: dict[str, Any]) -> list[str]:
    """Return a line with the number of skipped files and the first reasons."""
    skipped = report["skipped"]
    if not skipped:
        return []
    reasons = "; ".join(f"{name}: {why}" for name, why in skipped[:5]) + ("; …" if len(skipped) > 5 else "")
    return [f"{len(skipped)} of {len(skipped) + len(report['streams'])} files skipped: {reasons}"]


def _withheld(skipped: dict[str, str]) -> list[str]:
    """Return a line for each reason for which metrics were not computed, with their names."""
    by_reason: dict[str, list[str]] = {}
    for name, why in skipped.items():
        by_reason.setdefault(why, []).append(name)
    return [f"not computed: {', '.join(names)}: {why}" for why, names in by_reason.items()]


def _short(estimate: dict[str, Any]) -> str:
    value = estimate["value"]
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
