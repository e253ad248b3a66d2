"""Blind listening: two models play, in an order that is not told; which is better is kept."""

from __future__ import annotations

import json
import random
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noizenet.audio.write import AudioWriter
from noizenet.base.errors import UsageError
from noizenet.base.files import explain_os_error, make_folder, write_json
from noizenet.generation.controls import Controls
from noizenet.generation.stream import Stream
from noizenet.model.stepper import Stepper
from noizenet.store.model import Model
from noizenet.studio.names import inside
from noizenet.studio.quotas import make_room
from noizenet.studio.settings import Limits

SECONDS = 10.0
JUDGED = "judged.jsonl"
CHOICES = ("first", "second", "alike")


def begin(
    folder: Path,
    names: tuple[str, str],
    load: Callable[[str], tuple[Model, Stepper]],
    genre: str | None,
    limits: Limits,
) -> str:
    """Let two models play with the same seed; return the duel's key. The oldest duels' sounds make room.

    Parameters
    ----------
    folder : Path
    names : tuple of str
    load : callable
        Returns a model and its packed weights, given its name.
    genre : str, optional
    limits : Limits

    Raises
    ------
    UsageError
        If one of them cannot play that genre.
    """  # fmt: skip
    make_room(folder, limits.duels - 1, limits.duel_bytes, keep=(JUDGED,))
    key, seed = secrets.token_hex(8), secrets.randbelow(2**31)
    order = [0, 1]
    random.SystemRandom().shuffle(order)
    place = make_folder(folder / key)
    try:
        for side, which in zip(("first", "second"), order, strict=True):
            model, packed = load(names[which])
            told = genre if model.architecture.genre_size else None
            stream = Stream(model, Controls(seconds=SECONDS, seed=seed, genre=told, watch="off"), packed=packed)
            with AudioWriter(place / f"{side}.flac", stream.sample_rate, stream.channels) as writer:
                for block in stream:
                    writer.write(block.samples)
        about = {"first": names[order[0]], "second": names[order[1]], "genre": genre, "seed": seed}
        write_json(place / "duel.json", about)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
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
        try:
            duel = json.loads(line)
            a, b = sorted((duel["first"], duel["second"]))
            choice = str(duel["choice"])
        except (ValueError, KeyError, TypeError):
            continue  # the power went while it was written, say; the others count
        counts = pairs.setdefault((a, b), {"a": 0, "b": 0, "alike": 0})
        if choice == "alike":
            counts["alike"] += 1
        else:
            counts["a" if duel.get(choice) == a else "b"] += 1
    return [{"a": a, "b": b, "a_better": c["a"], "b_better": c["b"], "alike": c["alike"]}
            for (a, b), c in pairs.items()]  # fmt: skip
