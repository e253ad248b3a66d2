"""``noizenet figures``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noizenet.base.bundled import DEFAULT_MODEL
from noizenet.cli.output import print_json, print_message


def figures(
    out: Annotated[Path, typer.Argument(help="Folder for the figures.")],
    model: Annotated[Path, typer.Option(help="Model that generates the music of figures 8 to 10.")] = Path(
        DEFAULT_MODEL
    ),
    seed: Annotated[int, typer.Option(help="Random seed: the same seed gives the same figures.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw the paper's figures.

    They show networks from the perceptron to the LSTM, and three views of generated music.
    """
    from noizenet import api

    files = api.figures(out, model, seed=seed)
    if json:
        print_json({"files": [str(f) for f in files]})
        return
    for file in files:
        print_message(str(file))
