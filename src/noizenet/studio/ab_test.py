"""Blind A/B tests: two models generate audio in a hidden random order, and the listener's choice is stored."""

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
from noizenet.studio.names import path_inside
from noizenet.studio.quotas import evict_oldest
from noizenet.studio.settings import Limits

SECONDS = 10.0
RESULTS = "judged.jsonl"
CHOICES = ("first", "second", "alike")


def create(
    folder: Path,
    names: tuple[str, str],
    load: Callable[[str], tuple[Model, Stepper]],
    genre: str | None,
    limits: Limits,
) -> str:
    """Generate audio from two models with the same seed; return the test's key. The oldest tests are evicted.

    Parameters
    ----------
    folder : Path
    names : tuple of str
    load : callable
        Returns a model and its packed weights for a name.
    genre : str, optional
    limits : Limits

    Raises
    ------
    UsageError
        If a model does not have that genre.
    """  # fmt: skip
    evict_oldest(folder, limits.ab_tests - 1, limits.ab_test_bytes, keep=(RESULTS,))
    key, seed = secrets.token_hex(8), secrets.randbelow(2**31)
    order = [0, 1]
    random.SystemRandom().shuffle(order)
    test_folder = make_folder(folder / key)
    try:
        for side, index in zip(("first", "second"), order, strict=True):
            model, packed = load(names[index])
            test_genre = genre if model.architecture.genre_size else None
            stream = Stream(model, Controls(seconds=SECONDS, seed=seed, genre=test_genre, watch="off"), packed=packed)
            with AudioWriter(test_folder / f"{side}.flac", stream.sample_rate, stream.channels) as writer:
                for block in stream:
                    writer.write(block.samples)
        record = {"first": names[order[0]], "second": names[order[1]], "genre": genre, "seed": seed}
        write_json(test_folder / "duel.json", record)
    except BaseException:
        shutil.rmtree(test_folder, ignore_errors=True)
        raise
    return key


def record_choice(folder: Path, key: str, choice: str) -> dict[str, Any]:
    """Store a choice and return which model was which; each test accepts one choice.

    Raises
    ------
    UsageError
        For an unknown test or choice, or a test that has a choice already.
    """
    if choice not in CHOICES:
        raise UsageError(f"choice: expected one of {', '.join(CHOICES)}")
    record = path_inside(folder, key) / "duel.json"
    try:
        result: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError("no such A/B test") from error
    if "choice" in result:
        raise UsageError("this A/B test has a choice already")
    result["choice"], result["at"] = choice, time.time()
    write_json(record, result)
    try:
        with (folder / RESULTS).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(result) + "\n")
    except OSError as error:
        raise explain_os_error(error, folder / RESULTS) from error
    return result


def tally(folder: Path) -> list[dict[str, Any]]:
    """Return, for each pair of models, how often each was preferred."""
    pairs: dict[tuple[str, str], dict[str, int]] = {}
    try:
        lines = (folder / RESULTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            result = json.loads(line)
            a, b = sorted((result["first"], result["second"]))
            choice = str(result["choice"])
        except (ValueError, KeyError, TypeError):
            continue  # an incomplete line, such as after a power failure: the others count
        counts = pairs.setdefault((a, b), {"a": 0, "b": 0, "alike": 0})
        if choice == "alike":
            counts["alike"] += 1
        else:
            counts["a" if result.get(choice) == a else "b"] += 1
    return [{"a": a, "b": b, "a_better": c["a"], "b_better": c["b"], "alike": c["alike"]}
            for (a, b), c in pairs.items()]  # fmt: skip
