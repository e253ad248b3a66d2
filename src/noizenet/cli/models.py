"""``noizenet models``."""

from __future__ import annotations

from typing import Annotated

import typer

from noizenet.cli.output import print_json, print_table, say


def models(json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the recipes that 'noizenet train --model' knows."""
    from noizenet.training import RECIPES
    from noizenet.training.options import configure

    rows = []
    for name, text in RECIPES.items():
        o = configure(name)
        m = o.model
        rows.append([name, o.representation["name"], f"{m.layers} × {m.cell} {m.hidden}", m.head, text])
    if json:
        keys = ("name", "representation", "network", "head", "description")
        print_json({"models": [dict(zip(keys, r, strict=True)) for r in rows]})
        return
    print_table("", ["model", "frames", "network", "head", ""], rows)
    say("Any setting can be changed: noizenet train CORPUS OUT --model NAME --set model.hidden=256")
