"""Blind listening: two models play, in an order that is not told; which is better is kept."""

from __future__ import annotations

import json
import random
import secrets
import time
from pathlib import Path
from typing import Any

from noizenet.api.playing import generate
from noizenet.base.errors import UsageError
from noizenet.base.files import explain_os_error, make_folder, write_json
from noizenet.generation.controls import Controls
from noizenet.store.model import Model
from noizenet.studio.names import inside

SECONDS = 10.0
JUDGED = "judged.jsonl"
CHOICES = ("first", "second", "alike")


def begin(folder: Path, names: tuple[str, str], models: tuple[Model, Model], genre: str | None) -> str:
    """Let two models play with the same seed; return the duel's key.

    Raises
    ------
    UsageError
        If one of them cannot play that genre.
    """
    key, seed = secrets.token_hex(8), secrets.randbelow(2**31)
    order = [0, 1]
    random.SystemRandom().shuffle(order)
    place = make_folder(folder / key)
    for side, which in zip(("first", "second"), order, strict=True):
        told = genre if models[which].architecture.genre_size else None
        controls = Controls(seconds=SECONDS, seed=seed, genre=told, watch="off")
        generate(models[which], place / f"{side}.flac", controls)
    write_json(place / "duel.json", {"first": names[order[0]], "second": names[order[1]], "genre": genre, "seed": seed})
    return key


def judge(folder: Path, key: str, choice: str) -> dict[str, Any]:
    """Keep a choice and tell who played; a duel is judged once.

    Raises
    ------
    UsageError
        For an unknown duel or choice, or one that was judged before.
    """
    if choice not in CHOICES:
        raise UsageError(f"a choice is one of {', '.join(CHOICES)}")
    about = inside(folder, key) / "duel.json"
    try:
        duel: dict[str, Any] = json.loads(about.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError("no such duel") from error
    if "choice" in duel:
        raise UsageError("this duel was judged already")
    duel["choice"], duel["at"] = choice, time.time()
    write_json(about, duel)
    try:
        with (folder / JUDGED).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(duel) + "\n")
    except OSError as error:
        raise explain_os_error(error, folder / JUDGED) from error
    return duel


def tally(folder: Path) -> list[dict[str, Any]]:
    """Return, for each pair that was heard, how often each was chosen."""
    pairs: dict[tuple[str, str], dict[str, int]] = {}
    try:
        lines = (folder / JUDGED).read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        duel = json.loads(line)
        a, b = sorted((duel["first"], duel["second"]))
        counts = pairs.setdefault((a, b), {"a": 0, "b": 0, "alike": 0})
        if duel["choice"] == "alike":
            counts["alike"] += 1
        else:
            counts["a" if duel[duel["choice"]] == a else "b"] += 1
    return [{"a": a, "b": b, "a_better": c["a"], "b_better": c["b"], "alike": c["alike"]}
            for (a, b), c in pairs.items()]  # fmt: skip
