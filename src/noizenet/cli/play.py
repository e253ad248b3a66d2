"""``noizenet play``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noizenet.base import process
from noizenet.base.errors import UsageError
from noizenet.cli.controls import with_controls
from noizenet.cli.output import print_message, print_notes, status_line
from noizenet.generation.controls import Controls

if TYPE_CHECKING:
    from noizenet.api import Playing


@with_controls(leave_out=("morph", "include_prompt"), seconds=None, watch="recover")
def play(
    model: Annotated[Path, typer.Argument(help="A model folder, a zip of one, or a bundled model's name.")],
    controls: Controls,
    out: Annotated[str, typer.Option("--out", help="- writes 16-bit PCM to standard output.")] = "",
) -> None:
    """Play in real time, on the sound card or as a stream of PCM. Without --seconds it plays until it is stopped."""
    from noizenet import api

    if out not in ("", "-"):
        raise UsageError(f"--out {out}: only - (standard output) is allowed; 'noizenet generate' writes files")
    pipe = process.binary_output() if out == "-" else None
    with status_line() as show:
        playing = api.play(model, controls, pipe, on_block=lambda p: show(describe(p)))
    print_notes(playing.remarks)
    print_message(describe(playing))


def describe(p: Playing) -> str:
    """Return the progress line: seconds played, speed, margin, buffer underruns and the monitor's report."""
    text = f"{p.seconds:.1f} s · {p.sample_rate} Hz · × {p.real_time_factor:.1f} real time · margin {p.margin:.0%}"
    if p.underruns:
        text += f" · buffer underruns: {p.underruns}, this computer is too slow for the model"
    elif p.real_time_factor and p.margin < 0:
        text += " · too slow for real time on this computer"
    if p.watch is not None and p.watch.causes:
        text += " · degenerate: " + ", ".join(f"{k} {v:.0f} s" for k, v in p.watch.causes.items())
    if p.watch is not None and p.watch.recoveries:
        text += f" · recovered {len(p.watch.recoveries)} ×"
    return text
