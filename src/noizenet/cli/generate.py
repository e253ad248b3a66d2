"""``noizenet generate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noizenet.base import process
from noizenet.cli.controls import with_controls
from noizenet.cli.output import print_json, print_message, print_notes, print_table, progress_bar
from noizenet.generation.controls import Controls

if TYPE_CHECKING:
    from noizenet.api import Generated


@with_controls()
def generate(
    model: Annotated[Path, typer.Argument(help="A model folder, a zip of one, or a bundled model's name.")],
    out: Annotated[Path, typer.Argument(help="OUT.wav, .flac or .ogg; - for 16-bit PCM on standard output.")],
    controls: Controls,
    count: Annotated[
        int, typer.Option(help="Number of pieces, with consecutive random seeds; a batch is faster than single pieces.")
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generate music into a file or to standard output."""
    from noizenet import api
    from noizenet.audio.write import write_pcm
    from noizenet.base.errors import InterruptedRunError, UsageError

    if not 1 <= count <= 1000:
        raise UsageError(f"count: {count} is not between 1 and 1,000")
    if str(out) == "-":
        if count > 1:
            raise UsageError("count: standard output takes one piece; give a file name")
        pipe = process.binary_output()
        blocks = api.stream(model, controls)
        print_message(f"16-bit PCM, {blocks.sample_rate} Hz, {blocks.channels} channel(s)")
        print_notes(blocks.remarks)
        write_pcm(pipe, blocks)
        return
    takes = [(out, controls)]
    if count > 1:
        digits = len(str(count))
        takes = [
            (out.with_name(f"{out.stem}-{i + 1:0{digits}d}{out.suffix}"), replace(controls, seed=controls.seed + i))
            for i in range(count)
        ]
    total = (controls.seconds or 0.0) * count
    try:
        with progress_bar("generating") as update:
            pieces = api.generate_batch(
                model, takes, on_block=lambda s: update(min(s, total), total, f"{s:.1f} of {total:g} s")
            )
    except KeyboardInterrupt as error:
        raise InterruptedRunError(str(error) or "interrupted; nothing was written") from error
    for piece in pieces:
        print_notes(piece.remarks)
    if json:
        summaries = [_summary(piece, take.seed) for piece, (_, take) in zip(pieces, takes, strict=True)]
        print_json(summaries[0] if count == 1 else {"pieces": summaries})
        return
    if count > 1:
        rows = [
            [
                piece.path.name,
                piece.genre or "–",
                f"{piece.tempo:.0f}" if piece.tempo else "–",
                f"{piece.seconds:.1f}",
                _condition(piece),
            ]
            for piece in pieces
        ]
        print_table(
            f"{count} pieces, × {pieces[0].real_time_factor:.1f} real time in total",
            ["", "genre", "beats/min", "seconds", "output"],
            rows,
        )
        return
    _show(pieces[0], genre_drawn=not (controls.genre or controls.morph))


def _summary(piece: Generated, seed: int) -> dict[str, Any]:
    """Return a piece as JSON-compatible data."""
    return {
        "path": str(piece.path), "seconds": piece.seconds, "genre": piece.genre, "seed": seed, "tempo": piece.tempo,
        "real_time_factor": round(piece.real_time_factor, 3), "clipped": piece.clipped,
        "aliveness": piece.aliveness.to_dict(), "watch": piece.watch.to_dict() if piece.watch is not None else None,
        "remarks": piece.remarks,
    }  # fmt: skip


def _condition(piece: Generated) -> str:
    report = piece.aliveness
    if not report.judged:
        return "too short to judge"
    if report.death_s is None:
        return "healthy"
    return f"degenerate from {report.death_s:.1f} s on ({', '.join(report.causes)})"


def _show(piece: Generated, *, genre_drawn: bool) -> None:
    """Print the table of one piece."""
    report = piece.aliveness
    rows: list[list[object]] = [
        ["seconds", f"{piece.seconds:.2f}"],
        ["real time", f"× {piece.real_time_factor:.2f}"],
    ]
    if piece.genre:
        rows.append(["genre", piece.genre + ("  (drawn with the random seed)" if genre_drawn else "")])
    if piece.tempo:
        rows.append(["tempo", f"{piece.tempo:.0f} beats a minute"])
    if report.judged:
        rows.append(["healthy share", f"{report.alive:.1%}" if report.death_s is not None else "100 %"])
    rows.append(["output", _condition(piece)])
    if piece.watch is not None and piece.watch.causes.get("likelihood"):
        rows.append(["unlike the training music", f"{piece.watch.causes['likelihood']:.0f} s, by likelihood"])
    if piece.watch is not None and piece.watch.recoveries:
        rows.append(["recovered", ", ".join(f"at {s:.0f} s" for s in piece.watch.recoveries)])
    if piece.clipped:
        rows.append(["clipped to full scale", f"{piece.clipped} samples"])
    print_table(str(piece.path), ["", ""], rows)
