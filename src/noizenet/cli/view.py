"""``noizenet view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noizenet.cli.output import print_json, print_message, print_notes


def view(
    audio: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Argument(help="OUT.png or OUT.svg.")],
    kind: Annotated[str, typer.Option(help="waveform, envelope, spectrogram or all.")] = "all",
    scale: Annotated[str, typer.Option(help="Frequency axis: log or linear.")] = "log",
    compare: Annotated[Path | None, typer.Option(help="A second recording, drawn next to the first.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw one recording, or two side by side.

    The views are waveform, envelope with ADSR, and spectrogram.
    """
    from noizenet import api

    notes: list[str] = []
    api.view([audio] if compare is None else [audio, compare], out, kind=kind, scale=scale, notes=notes)
    print_notes(notes)
    if json:
        print_json({"path": str(out), "kind": kind, "scale": scale, "notes": notes})
    else:
        print_message(f"drawn: {out}")
