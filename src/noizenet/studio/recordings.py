"""What a listener keeps: the sound as it went out, and the recipe that makes it again bit for bit."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noizenet.audio.waveform import Waveform
from noizenet.audio.write import AudioWriter
from noizenet.base.errors import UsageError
from noizenet.base.files import write_json
from noizenet.evaluation.aliveness import cause_of_death
from noizenet.generation.instrument import Instrument, replay
from noizenet.store.model import Model

FORMATS = ("wav", "flac")


class Recorder:
    """A recording that goes on.

    Parameters
    ----------
    folder : Path
    model : str
        Its name, for the recipe.
    instrument : Instrument
    start : int
        Samples given out before the recording began.
    kind : str
        ``wav`` or ``flac``.
    """

    def __init__(self, folder: Path, model: str, instrument: Instrument, start: int, kind: str) -> None:
        if kind not in FORMATS:
            raise UsageError(f"format {kind[:20]!r}: recordings are {' or '.join(FORMATS)}")
        stamp = time.strftime("%Y-%m-%d %H-%M-%S")
        taken = {p.stem for p in folder.iterdir()}
        number = next(n for n in range(1, 10_000) if f"{stamp} {n}" not in taken)
        self.name = f"{stamp} {number}.{kind}"
        self._path, self._model, self._instrument, self._start = folder / self.name, model, instrument, start
        # The recipe's name is taken at once, so that two recordings of one second do not share it.
        write_json(self._path.with_suffix(".json"), {"unfinished": True})
        self._writer = AudioWriter(self._path, instrument.sample_rate, instrument.channels)

    @property
    def seconds(self) -> float:
        """What is recorded so far."""
        return self._writer.frames / self._instrument.sample_rate

    def write(self, block: Waveform) -> None:
        """Take in what went out."""
        self._writer.write(block.samples)

    def finish(self) -> str:
        """Close the file, write its recipe, return the name."""
        self._writer.commit()
        recipe = self._instrument.recipe()
        about = {"model": self._model, "start": self._start, "samples": self._writer.frames, **recipe}
        write_json(self._path.with_suffix(".json"), about)
        return self.name


def read_recipe(path: Path) -> dict[str, Any]:
    """Return what lies beside a recording; empty where nothing that can be read does."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def render(model: Model, recipe: Mapping[str, Any], out: Path) -> int:
    """Make a recording again from its recipe; return its samples.

    Raises
    ------
    UsageError
        If it is no recipe.
    """
    try:
        start, samples = int(recipe["start"]), int(recipe["samples"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this is no recipe of a recording ({type(error).__name__})") from error
    r = model.representation
    with AudioWriter(out, r.sample_rate, r.channels, samples) as writer:
        for block in replay(model, recipe, cause_of_death, start=start, samples=samples):
            writer.write(block.samples)
        return writer.frames


def listed(folder: Path) -> list[dict[str, Any]]:
    """Return the finished recordings, newest first."""
    found = []
    for path in sorted(folder.iterdir(), reverse=True):
        if path.suffix[1:] in FORMATS and not path.name.startswith("."):
            about = read_recipe(path.with_suffix(".json"))
            found.append({"name": path.name, "bytes": path.stat().st_size, "model": about.get("model", ""),
                          "moves": len(about.get("moves", []))})  # fmt: skip
    return found
