"""``noizenet reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noizenet.cli.controls import HELP
from noizenet.cli.output import print_json, print_message, print_table


def reproduce(
    model: Annotated[Path, typer.Argument(help="A model folder, a zip of one, or a bundled model's name.")],
    song: Annotated[Path, typer.Argument(help="The recording to predict.")],
    out: Annotated[Path, typer.Argument(help="OUT.wav; the baseline is written next to it.")],
    genre: Annotated[str | None, typer.Option(help=HELP["genre"])] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Predict a recording one step ahead, with teacher forcing.

    The baseline is persistence, which repeats the last frame.
    """
    from noizenet import api

    result, baseline = api.reproduce(model, song, out, genre=genre)
    if json:
        print_json(
            {
                "path": str(out), "persistence_path": str(baseline), "seconds": result.seconds, "domain": result.domain,
                "model": result.model, "persistence": result.persistence,
            }
        )  # fmt: skip
        return
    names = {"mse": "mean square error", "mae": "mean absolute error", "mbe": "mean bias error"}
    rows = [[text, f"{result.model[k]:.4g}", f"{result.persistence[k]:.4g}"] for k, text in names.items()]
    title = f"{out}: {result.seconds:.1f} s, errors on {result.domain}"
    print_table(title, ["", "model", "persistence"], rows)
    print_message(
        f"Baseline: {baseline}. Every step is given the true previous frame (teacher forcing); nothing is generated."
    )
