"""What a listener keeps: the sound as it went out, and the recipe that makes it again bit for bit.

While a recording goes on, its samples are appended to a hidden file of plain 16-bit PCM, with nothing held back, and
the recipe so far lies beside it. The wav or flac file is made of it at the end; where the studio was killed, at its
next start.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from noizenet.audio.waveform import Waveform
from noizenet.audio.write import AudioWriter, from_pcm16, pcm_bytes
from noizenet.base.errors import NoizenetError, UsageError
from noizenet.base.files import TEMPORARY_SUFFIX, write_json
from noizenet.evaluation.aliveness import failure_mode
from noizenet.generation.instrument import Instrument, replay
from noizenet.model.stepper import Stepper
from noizenet.store.model import Model
from noizenet.studio.quotas import size_of
from noizenet.studio.refusals import RefusedError, explain
from noizenet.studio.settings import Limits

FORMATS = ("wav", "flac")
TAKE, SEED = ".pcm", ".seed.wav"
NOTED_EVERY_S = 1.0
PIECE_SAMPLES = 1 << 18

_naming = threading.Lock()


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
    limits : Limits

    Raises
    ------
    UsageError
        For another format, or where there are as many recordings as there may be.
    """

    def __init__(self, folder: Path, model: str, instrument: Instrument, start: int, kind: str, limits: Limits) -> None:
        if kind not in FORMATS:
            raise UsageError(f"format {kind[:20]!r}: recordings are {' or '.join(FORMATS)}")
        kept = [p for p in folder.iterdir() if p.suffix[1:] in FORMATS and not p.name.startswith(".")]
        if len(kept) >= limits.recordings:
            raise RefusedError(f"there are {len(kept)} recordings, the most that may be; remove some first", 507)
        self._room = limits.recording_bytes - size_of(folder)
        if self._room <= 0:
            raise RefusedError("the recordings take as much room as they may; remove some first", 507)
        self._folder, self._kind, self._instrument, self._start = folder, kind, instrument, start
        self._about = {
            "model": model, "start": start, "unfinished": True, "kind": kind,
            "sample_rate": instrument.sample_rate, "channels": instrument.channels,
        }  # fmt: skip
        self.frames, self._noted, self._moves = 0, 0.0, -1
        try:
            self._stem = _free_stem(folder)
            self._keep_song()
            self._note()
            self._take = (folder / f".{self._stem}{TAKE}").open("ab", buffering=0)
        except OSError as error:
            raise explain(error, "the recording") from error

    @property
    def name(self) -> str:
        """What the finished file will be called."""
        return f"{self._stem}.{self._kind}"

    @property
    def seconds(self) -> float:
        """What is recorded so far."""
        return self.frames / self._instrument.sample_rate

    def write(self, block: Waveform) -> None:
        """Take in what went out.

        Raises
        ------
        NoizenetError
            If there is no more room; what was written is whole.
        """
        data = pcm_bytes(block)
        if len(data) > self._room:
            raise RefusedError("the recordings take as much room as they may; this one ends here", 507)
        try:
            self._take.write(data)
        except OSError as error:
            raise explain(error, "the recording") from error
        self._room -= len(data)
        self.frames += len(block)
        if time.monotonic() - self._noted >= NOTED_EVERY_S and len(self._instrument.moves) != self._moves:
            self._note()

    def finish(self) -> str | None:
        """Make the file, write its recipe, return the name; None where nothing was recorded, and nothing is kept.

        Raises
        ------
        NoizenetError
            If there is no room for it; the next start of the studio tries again.
        """
        self._take.close()
        if not self.frames:
            _drop(self._folder, self._stem)
            return None
        return _finish(self._folder, self._stem, self._recipe())

    def _recipe(self) -> dict[str, Any]:
        recipe = self._instrument.recipe()
        if recipe["controls"].get("prompt"):
            recipe["controls"]["prompt"] = f".{self._stem}{SEED}"
        return {**self._about, **recipe}

    def _note(self) -> None:
        """Write down what is known, for the case that this process is killed."""
        self._moves, self._noted = len(self._instrument.moves), time.monotonic()
        write_json(self._folder / f"{self._stem}.json", self._recipe())

    def _keep_song(self) -> None:
        """Keep the song that was gone on from: the seeds are a cache."""
        song = self._instrument.recipe()["controls"].get("prompt")
        if song:
            shutil.copyfile(song, self._folder / f".{self._stem}{SEED}")


def _free_stem(folder: Path) -> str:
    """Return a name of this second that no other recording has, and take it."""
    stamp = time.strftime("%Y-%m-%d %H-%M-%S")
    with _naming:
        for number in range(1, 10_000):
            with contextlib.suppress(FileExistsError):
                (folder / f".{stamp} {number}{TAKE}").open("xb").close()
                if not (folder / f"{stamp} {number}.json").exists():
                    return f"{stamp} {number}"
                (folder / f".{stamp} {number}{TAKE}").unlink()
    raise RefusedError("too many recordings at once; try again", 409)


def _drop(folder: Path, stem: str) -> None:
    """Remove a recording in which there is no sound."""
    for name in (f".{stem}{TAKE}", f"{stem}.json", f".{stem}{SEED}"):
        (folder / name).unlink(missing_ok=True)


def _finish(folder: Path, stem: str, about: dict[str, Any]) -> str:
    """Make a recording's file of its samples; write what is known of it; return the file's name."""
    take, channels = folder / f".{stem}{TAKE}", int(about["channels"])
    frames = take.stat().st_size // (2 * channels)
    out = folder / f"{stem}.{about['kind']}"
    with take.open("rb") as handle, AudioWriter(out, int(about["sample_rate"]), channels, frames) as writer:
        while writer.frames < frames:
            count = min(PIECE_SAMPLES, frames - writer.frames)
            piece = np.frombuffer(handle.read(2 * channels * count), "<i2").reshape(-1, channels)
            writer.write(from_pcm16(piece))
    kept = {k: v for k, v in about.items() if k not in ("unfinished", "kind", "sample_rate", "channels")}
    write_json(folder / f"{stem}.json", {**kept, "samples": frames})
    take.unlink(missing_ok=True)
    return out.name


def recover(folder: Path) -> list[str]:
    """Finish the recordings of a studio that was killed; return their names. Each says that it was recovered."""
    _take_over_parts(folder)
    found = []
    for take in sorted(folder.glob(f".*{TAKE}")):
        stem = take.name[1 : -len(TAKE)]
        about = read_recipe(folder / f"{stem}.json")
        try:
            if not take.stat().st_size:
                _drop(folder, stem)
                continue
            # The recipe was written down some moments before the end: it is played until there are enough samples.
            known = {"kind": "wav", "sample_rate": 22_050, "channels": 1, **about, "recovered": True}
            found.append(_finish(folder, stem, known))
        except (OSError, ValueError, KeyError, TypeError, NoizenetError) as error:
            sys.stderr.write(f"studio: the recording {stem} could not be finished ({error}); its samples are kept\n")
    return found


def _take_over_parts(folder: Path) -> None:
    """Turn wav files that were begun and never finished into takes: version 0.1.0 recorded so."""
    for part in sorted(folder.glob(f".*{TEMPORARY_SUFFIX}.*")):
        stem = part.name[1:].rsplit("-", 1)[0]
        take = folder / f".{stem}{TAKE}"
        with contextlib.suppress(OSError, struct.error):
            if take.exists():  # the making of the file was interrupted: it is made anew
                part.unlink()
                continue
            with part.open("rb") as handle:
                header = handle.read(44)
                if part.suffix != ".wav" or header[:4] != b"RIFF" or header[36:40] != b"data":
                    sys.stderr.write(f"studio: {part.name} is the beginning of a recording that cannot be finished\n")
                    continue
                channels, rate = struct.unpack("<HI", header[22:28])
                about = read_recipe(folder / f"{stem}.json")
                write_json(folder / f"{stem}.json", {**about, "sample_rate": rate, "channels": channels})
                with take.open("xb") as samples:
                    shutil.copyfileobj(handle, samples)
            part.unlink()


def read_recipe(path: Path) -> dict[str, Any]:
    """Return what lies beside a recording; empty where nothing that can be read does."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def render(model: Model, packed: Stepper, recipe: Mapping[str, Any], path: Path, seeds: Path, out: Path) -> int:
    """Make a recording again from its recipe; return its samples.

    Parameters
    ----------
    model, packed : Model, Stepper
    recipe : mapping
    path : Path
        The recording.
    seeds : Path
        Where songs to go on from lie that were not kept with the recording.
    out : Path

    Raises
    ------
    UsageError
        If it is no recipe, or the song that it goes on from is gone.
    """
    try:
        start, samples = int(recipe["start"]), int(recipe["samples"])
        controls = dict(recipe["controls"])
        # Noted before the end where the recording was recovered: the frames do for all samples.
        rate = model.representation.frame_rate / model.representation.sample_rate
        frame = max(int(recipe["frame"]), round(2 * rate * (start + samples)) if recipe.get("recovered") else 0)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this is no recipe of a recording ({type(error).__name__})") from error
    if controls.get("prompt"):
        own = path.with_name(f".{path.stem}{SEED}")
        song = own if own.is_file() else seeds / Path(str(controls["prompt"])).name
        if not song.is_file():
            raise UsageError("the song that this recording goes on from is not here any more")
        controls["prompt"] = str(song)
    r, made = model.representation, {**recipe, "controls": controls, "frame": frame}
    with AudioWriter(out, r.sample_rate, r.channels, samples) as writer:
        for block in replay(model, made, failure_mode, start=start, samples=samples, packed=packed):
            writer.write(block.samples)
            if writer.frames >= samples:
                break
        return writer.frames


def remove(path: Path) -> None:
    """Remove a recording and what lies beside it."""
    for part in (path, path.with_suffix(".json"), path.with_name(f".{path.stem}{SEED}")):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def listed(folder: Path) -> list[dict[str, Any]]:
    """Return the finished recordings, newest first."""
    found = []
    for path in sorted(folder.iterdir(), reverse=True):
        if path.suffix[1:] in FORMATS and not path.name.startswith("."):
            about = read_recipe(path.with_suffix(".json"))
            moves = about.get("moves", [])
            with contextlib.suppress(OSError):  # removed meanwhile
                found.append({
                    "name": path.name, "bytes": path.stat().st_size, "model": about.get("model", ""),
                    "moves": len(moves) if isinstance(moves, list) else 0, "recovered": about.get("recovered") is True,
                })  # fmt: skip
    return found
