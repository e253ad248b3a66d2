"""Recordings: the samples as they were sent, and a recipe from which they can be rendered again bit for bit.

During a recording, its samples are appended without buffering to a hidden file of raw 16-bit PCM, and the current
recipe is next to it. The WAV or FLAC file is written from it at the end, or at the next start if the studio was killed.
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
from noizenet.studio.refusals import RefusedError, describe_os_error
from noizenet.studio.settings import Limits

FORMATS = ("wav", "flac")
RAW_SUFFIX, PROMPT_SUFFIX = ".pcm", ".seed.wav"
RECIPE_INTERVAL_S = 1.0
CHUNK_SAMPLES = 1 << 18

_naming_lock = threading.Lock()


class Recorder:
    """A recording in progress.

    Parameters
    ----------
    folder : Path
    model : str
        The model's name, for the recipe.
    instrument : Instrument
    start : int
        Number of samples sent before the recording began.
    kind : str
        ``wav`` or ``flac``.
    limits : Limits

    Raises
    ------
    UsageError
        For an unknown format, or if there are too many recordings or bytes.
    """

    def __init__(self, folder: Path, model: str, instrument: Instrument, start: int, kind: str, limits: Limits) -> None:
        if kind not in FORMATS:
            raise UsageError(f"format {kind[:20]!r}: recordings are {' or '.join(FORMATS)}")
        recordings = [p for p in folder.iterdir() if p.suffix[1:] in FORMATS and not p.name.startswith(".")]
        if len(recordings) >= limits.recordings:
            raise RefusedError(f"there are {len(recordings)} recordings, the maximum; remove some first", 507)
        self._room = limits.recording_bytes - size_of(folder)
        if self._room <= 0:
            raise RefusedError("the recordings have reached their disk quota; remove some first", 507)
        self._folder, self._kind, self._instrument, self._start = folder, kind, instrument, start
        self._about = {
            "model": model, "start": start, "unfinished": True, "kind": kind,
            "sample_rate": instrument.sample_rate, "channels": instrument.channels,
        }  # fmt: skip
        self.frames, self._saved_at, self._saved_moves = 0, 0.0, -1
        try:
            self._stem = _free_stem(folder)
            self._copy_prompt()
            self._save_recipe()
            self._raw = (folder / f".{self._stem}{RAW_SUFFIX}").open("ab", buffering=0)
        except OSError as error:
            raise describe_os_error(error, "the recording") from error

    @property
    def name(self) -> str:
        """Name of the finished file."""
        return f"{self._stem}.{self._kind}"

    @property
    def seconds(self) -> float:
        """Length so far, in seconds."""
        return self.frames / self._instrument.sample_rate

    def write(self, block: Waveform) -> None:
        """Append a block.

        Raises
        ------
        NoizenetError
            If there is no more space; the samples written so far stay valid.
        """
        data = pcm_bytes(block)
        if len(data) > self._room:
            raise RefusedError("the recordings have reached their disk quota; this one ends here", 507)
        try:
            self._raw.write(data)
        except OSError as error:
            raise describe_os_error(error, "the recording") from error
        self._room -= len(data)
        self.frames += len(block)
        if time.monotonic() - self._saved_at >= RECIPE_INTERVAL_S and len(self._instrument.moves) != self._saved_moves:
            self._save_recipe()

    def finish(self) -> str | None:
        """Write the audio file and its recipe; return its name, or None if nothing was recorded.

        Raises
        ------
        NoizenetError
            If there is no space for it; the next start of the studio tries again.
        """
        self._raw.close()
        if not self.frames:
            _discard(self._folder, self._stem)
            return None
        return _finish(self._folder, self._stem, self._recipe())

    def _recipe(self) -> dict[str, Any]:
        recipe = self._instrument.recipe()
        if recipe["controls"].get("prompt"):
            recipe["controls"]["prompt"] = f".{self._stem}{PROMPT_SUFFIX}"
        return {**self._about, **recipe}

    def _save_recipe(self) -> None:
        """Write the current recipe, so that the recording can be recovered if this process is killed."""
        self._saved_moves, self._saved_at = len(self._instrument.moves), time.monotonic()
        write_json(self._folder / f"{self._stem}.json", self._recipe())

    def _copy_prompt(self) -> None:
        """Copy the prompt, since stored prompts are a cache."""
        prompt = self._instrument.recipe()["controls"].get("prompt")
        if prompt:
            shutil.copyfile(prompt, self._folder / f".{self._stem}{PROMPT_SUFFIX}")


def _free_stem(folder: Path) -> str:
    """Reserve and return an unused name with the current time."""
    stamp = time.strftime("%Y-%m-%d %H-%M-%S")
    with _naming_lock:
        for number in range(1, 10_000):
            with contextlib.suppress(FileExistsError):
                (folder / f".{stamp} {number}{RAW_SUFFIX}").open("xb").close()
                if not (folder / f"{stamp} {number}.json").exists():
                    return f"{stamp} {number}"
                (folder / f".{stamp} {number}{RAW_SUFFIX}").unlink()
    raise RefusedError("too many recordings at once; try again", 409)


def _discard(folder: Path, stem: str) -> None:
    """Remove the files of an empty recording."""
    for name in (f".{stem}{RAW_SUFFIX}", f"{stem}.json", f".{stem}{PROMPT_SUFFIX}"):
        (folder / name).unlink(missing_ok=True)


def _finish(folder: Path, stem: str, about: dict[str, Any]) -> str:
    """Write a recording's audio file and recipe from its raw samples; return the file's name."""
    raw, channels = folder / f".{stem}{RAW_SUFFIX}", int(about["channels"])
    frames = raw.stat().st_size // (2 * channels)
    out = folder / f"{stem}.{about['kind']}"
    with raw.open("rb") as handle, AudioWriter(out, int(about["sample_rate"]), channels, frames) as writer:
        while writer.frames < frames:
            count = min(CHUNK_SAMPLES, frames - writer.frames)
            chunk = np.frombuffer(handle.read(2 * channels * count), "<i2").reshape(-1, channels)
            writer.write(from_pcm16(chunk))
    recipe = {k: v for k, v in about.items() if k not in ("unfinished", "kind", "sample_rate", "channels")}
    write_json(folder / f"{stem}.json", {**recipe, "samples": frames})
    raw.unlink(missing_ok=True)
    return out.name


def recover(folder: Path) -> list[str]:
    """Finish the recordings of a studio that was killed; return their names. Their recipes have ``recovered`` set."""
    _convert_partial_wavs(folder)
    found = []
    for raw in sorted(folder.glob(f".*{RAW_SUFFIX}")):
        stem = raw.name[1 : -len(RAW_SUFFIX)]
        about = read_recipe(folder / f"{stem}.json")
        try:
            if not raw.stat().st_size:
                _discard(folder, stem)
                continue
            # The recipe was saved shortly before the end: `render` continues it until there are enough samples.
            recipe = {"kind": "wav", "sample_rate": 22_050, "channels": 1, **about, "recovered": True}
            found.append(_finish(folder, stem, recipe))
        except (OSError, ValueError, KeyError, TypeError, NoizenetError) as error:
            sys.stderr.write(f"studio: the recording {stem} could not be finished ({error}); its samples are kept\n")
    return found


def _convert_partial_wavs(folder: Path) -> None:
    """Convert unfinished WAV files of version 0.1.0 to raw samples."""
    for part in sorted(folder.glob(f".*{TEMPORARY_SUFFIX}.*")):
        stem = part.name[1:].rsplit("-", 1)[0]
        raw = folder / f".{stem}{RAW_SUFFIX}"
        with contextlib.suppress(OSError, struct.error):
            if raw.exists():  # writing the file was interrupted: it is written again
                part.unlink()
                continue
            with part.open("rb") as handle:
                header = handle.read(44)
                if part.suffix != ".wav" or header[:4] != b"RIFF" or header[36:40] != b"data":
                    sys.stderr.write(f"studio: {part.name} is an unfinished recording that cannot be recovered\n")
                    continue
                channels, rate = struct.unpack("<HI", header[22:28])
                about = read_recipe(folder / f"{stem}.json")
                write_json(folder / f"{stem}.json", {**about, "sample_rate": rate, "channels": channels})
                with raw.open("xb") as samples:
                    shutil.copyfileobj(handle, samples)
            part.unlink()


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe of a recording; empty if it cannot be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def render(model: Model, packed: Stepper, recipe: Mapping[str, Any], path: Path, prompts: Path, out: Path) -> int:
    """Render a recording again from its recipe; return the number of samples.

    Parameters
    ----------
    model, packed : Model, Stepper
    recipe : mapping
    path : Path
        The recording.
    prompts : Path
        Folder of prompts that were not copied with the recording.
    out : Path

    Raises
    ------
    UsageError
        If the recipe is invalid, or its prompt is missing.
    """
    try:
        start, samples = int(recipe["start"]), int(recipe["samples"])
        controls = dict(recipe["controls"])
        # The recipe of a recovered recording was saved before the end: use enough frames for all samples.
        rate = model.representation.frame_rate / model.representation.sample_rate
        frame = max(int(recipe["frame"]), round(2 * rate * (start + samples)) if recipe.get("recovered") else 0)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the recording's recipe is not valid ({type(error).__name__})") from error
    if controls.get("prompt"):
        copied = path.with_name(f".{path.stem}{PROMPT_SUFFIX}")
        prompt = copied if copied.is_file() else prompts / Path(str(controls["prompt"])).name
        if not prompt.is_file():
            raise UsageError("the prompt of this recording is missing")
        controls["prompt"] = str(prompt)
    r, resolved = model.representation, {**recipe, "controls": controls, "frame": frame}
    with AudioWriter(out, r.sample_rate, r.channels, samples) as writer:
        for block in replay(model, resolved, failure_mode, start=start, samples=samples, packed=packed):
            writer.write(block.samples)
            if writer.frames >= samples:
                break
        return writer.frames


def remove(path: Path) -> None:
    """Remove a recording, its recipe and its prompt."""
    for part in (path, path.with_suffix(".json"), path.with_name(f".{path.stem}{PROMPT_SUFFIX}")):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def list_recordings(folder: Path) -> list[dict[str, Any]]:
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
