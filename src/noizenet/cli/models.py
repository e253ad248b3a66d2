"""``noizenet models``."""

from __future__ import annotations

import json as jsons
from typing import Annotated

import typer

from noizenet.cli.output import print_json, print_message, print_table


def models(json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the bundled models and the recipes for training."""
    from noizenet.api import bundled_models
    from noizenet.training import RECIPES
    from noizenet.training.options import configure

    rows = []
    for name, text in RECIPES.items():
        o = configure(name)
        m = o.model
        rows.append([name, o.representation["name"], f"{m.layers} × {m.cell} {m.hidden}", m.head, text])
    bundled = {n: jsons.loads((folder / "model.json").read_bytes()) for n, folder in bundled_models().items()}
    if json:
        keys = ("name", "representation", "network", "head", "description")
        entries = [{"name": n, "genres": a["genres"], "sample_rate": a["representation"]["sample_rate"]}
                   for n, a in bundled.items()]  # fmt: skip
        print_json({"models": [dict(zip(keys, r, strict=True)) for r in rows], "bundled": entries})
        return
    if bundled:
        listed = [[n, f"{a['representation']['sample_rate']:,} Hz", ", ".join(a["genres"])] for n, a in bundled.items()]
        print_table("bundled", ["model", "sample rate", "genres"], listed)
        print_message(f"Try one: noizenet generate {next(iter(bundled))} new.wav --seconds 30")
    print_table("recipes" if bundled else "", ["model", "representation", "network", "head", ""], rows)
    print_message("Any setting can be changed: noizenet train CORPUS OUT --model NAME --set model.hidden=256")
