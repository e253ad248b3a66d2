"""``noizenet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from noizenet.base.errors import UsageError
from noizenet.cli import controls as c
from noizenet.cli.output import bar, print_json, print_table, remark


def evaluate(
    sources: Annotated[list[Path], typer.Argument(help="MODEL CORPUS OUT, or with --audio: CORPUS OUT.")],
    audio: Annotated[Path | None, typer.Option(help="Judge this folder's sound files instead of a model.")] = None,
    streams: Annotated[int, typer.Option(help="Streams that the model plays.")] = 24,
    seconds: Annotated[float, typer.Option(help="Length of each.")] = 60.0,
    embedding: Annotated[str, typer.Option(help="tagger (fetched once) or crafted (no download).")] = "tagger",
    real_seconds: Annotated[float, typer.Option(help="How much is heard of each real track.")] = 60.0,
    seed: c.Seed = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Judge what a model plays by real music: alive, near, of its genre, new, and music over time."""
    from noizenet import api

    wanted = 2 if audio is not None else 3
    if len(sources) != wanted:
        form = "--audio FOLDER CORPUS OUT" if audio is not None else "MODEL CORPUS OUT"
        raise UsageError(f"evaluate needs {form}; {len(sources)} paths were given")
    model = None if audio is not None else sources[0]
    corpus, out = sources[-2:]
    with bar("judging") as update:
        report = api.evaluate(
            model, corpus, out, audio=audio, streams=streams, seconds=seconds, embedding=embedding,
            real_seconds=real_seconds, seed=seed, on_progress=lambda what, share: update(share, 1.0, what),
        )  # fmt: skip
    remark(report["warnings"])
    remark(_skipped(report))
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
    print_table(report["summary"], ["measure", "made", "real", "beside"], rows)
    for figure in report["figures"]:
        if figure["made"]["note"]:
            remark([f"{figure['measure']}: {figure['made']['note']}"])
    remark(_withheld(report["unsaid"]))


def _skipped(report: dict[str, Any]) -> list[str]:
    """Say how many files were not judged, and why the first of them were not."""
    skipped = report["skipped"]
    if not skipped:
        return []
    told = "; ".join(f"{name}: {why}" for name, why in skipped[:5]) + ("; …" if len(skipped) > 5 else "")
    return [f"{len(skipped)} of {len(skipped) + len(report['streams'])} files skipped: {told}"]


def _withheld(skipped: dict[str, str]) -> list[str]:
    """Return a line for each reason for which figures are not given, with their names."""
    names: dict[str, list[str]] = {}
    for name, why in skipped.items():
        names.setdefault(why, []).append(name)
    return [f"not given: {', '.join(those)}: {why}" for why, those in names.items()]


def _short(estimate: dict[str, Any]) -> str:
    value = estimate["value"]
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
