"""``noizenet reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noizenet.cli import controls as c
from noizenet.cli.output import print_json, print_table, say


def reproduce(
    model: Annotated[Path, typer.Argument(help="A model folder, a zip of one, or a bundled model's name.")],
    song: Annotated[Path, typer.Argument(help="The recording to echo.")],
    out: Annotated[Path, typer.Argument(help="OUT.wav; the baseline is written beside it.")],
    genre: c.Genre = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Echo a song one step ahead, beside the persistence baseline (repeat the last frame)."""
    from noizenet import api

    made, beside = api.reproduce(model, song, out, genre=genre)
    if json:
        print_json(
            {
                "path": str(out), "persistence_path": str(beside), "seconds": made.seconds, "domain": made.domain,
                "model": made.model, "persistence": made.persistence,
            }
        )  # fmt: skip
        return
    names = {"mse": "mean square error", "mae": "mean absolute error", "mbe": "mean bias error"}
    rows = [[text, f"{made.model[k]:.4g}", f"{made.persistence[k]:.4g}"] for k, text in names.items()]
    title = f"{out}: {made.seconds:.1f} s, errors on {made.domain}"
    print_table(title, ["", "model", "persistence"], rows)
    say(f"The baseline's sound: {beside}. The true frame is fed in at every step: this is an echo, not a performance.")
