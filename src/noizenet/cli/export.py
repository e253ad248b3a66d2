"""``noizenet export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noizenet.cli.output import print_json, print_message


def export(
    model: Annotated[Path, typer.Argument(help="A token model's folder, a zip of one, or a bundled model's name.")],
    out: Annotated[Path, typer.Argument(help="Folder for the graphs.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Export a token model as ONNX graphs.

    They are the recurrent layers, the output head and the decoder.
    """
    from noizenet import api

    files = api.export_onnx(model, out)
    if json:
        print_json({"files": [str(f) for f in files]})
        return
    for file in files:
        print_message(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")
