"""Prompts: the audio that a stream continues, which is the end of a recording or noise, with warnings about it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.read import AudioReader, converted_blocks
from noizenet.audio.waveform import Waveform
from noizenet.base.errors import AudioError
from noizenet.base.seeds import derive_seed
from noizenet.generation import PROMPT_NOISES
from noizenet.generation.controls import Controls
from noizenet.representation.base import Representation

SILENCE_PEAK = 10 ** (-60 / 20)
CLIPPING_LEVEL, MAX_CLIPPED_SHARE = 0.999, 0.001


class Prompt(NamedTuple):
    """Audio at the representation's rate, and remarks for the user."""

    sound: Waveform
    remarks: list[str]


def load_prompt(controls: Controls, representation: Representation, context_s: float) -> Prompt | None:
    """Return the prompt that controls ask for, or None.

    Parameters
    ----------
    controls : Controls
    representation : Representation
    context_s : float
        Left context that the network reads directly, in seconds; a shorter prompt gives a remark.

    Raises
    ------
    AudioError
        If the recording cannot be read or is empty.
    """
    rate, channels = representation.sample_rate, representation.channels
    count = max(1, round(controls.prompt_seconds * rate))
    if controls.prompt is not None:
        return _read_prompt(controls, rate, channels, count, context_s)
    if controls.prompt_noise is None:
        return None
    make = PROMPT_NOISES.load(controls.prompt_noise)
    rng = np.random.default_rng(derive_seed(controls.seed, "seed noise"))
    columns = [make(rng, count, rate) for _ in range(channels)]
    return Prompt(representation.as_waveform(np.stack(columns, axis=1)), [])


def _read_prompt(controls: Controls, rate: int, channels: int, count: int, context_s: float) -> Prompt:
    """Read the last `count` samples of a recording, block by block."""
    path = controls.prompt
    assert path is not None
    tail = np.zeros((0, channels), np.float32)
    with AudioReader(path) as reader:
        file_rate = reader.info.sample_rate
        for block in converted_blocks(reader, rate, channels):
            tail = np.concatenate([tail, block])[-count:]
        issues = [issue.text for issue in reader.issues]
    if not len(tail):
        raise AudioError(f"{path}: has a length of zero; choose another recording as the prompt")
    warnings = _warnings(tail, file_rate, rate, count, context_s)
    remarks = [f"{path}: {text}" for text in issues + warnings]
    return Prompt(Waveform(tail[:, 0] if channels == 1 else tail, rate), remarks)


def _warnings(tail: NDArray[np.float32], file_rate: int, rate: int, requested: int, context_s: float) -> list[str]:
    seconds = len(tail) / rate
    found = []
    if file_rate != rate:
        found.append(f"converted from {file_rate:,} to the model's {rate:,} Hz")
    if seconds < context_s:
        found.append(
            f"is {seconds:.3f} s long, less than the network's left context of {context_s:.3f} s; "
            "its first sample is repeated in front"
        )
    elif len(tail) < 0.999 * requested:
        found.append(
            f"is {seconds:.2f} s long, less than the {requested / rate:g} s asked for (--prompt-seconds); "
            "all of it is used"
        )
    if np.abs(tail).max() < SILENCE_PEAK:
        found.append("the used part is silent: the music starts as without a prompt")
    clipped = float((np.abs(tail) >= CLIPPING_LEVEL).mean())
    if clipped > MAX_CLIPPED_SHARE:
        found.append(f"{clipped:.1%} of the used part is clipped at full scale: the music may be distorted too")
    return found
