"""What the network hears before it plays: a song's end, or noise; and what is odd about it."""

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

SILENT = 10 ** (-60 / 20)
CLIPPED_AT, CLIPPED_SHARE = 0.999, 0.001


class Prompt(NamedTuple):
    """Sound at the representation's rate, and remarks for the user."""

    sound: Waveform
    remarks: list[str]


def prompt_of(controls: Controls, representation: Representation, context_s: float) -> Prompt | None:
    """Return what the network hears first; None for nothing.

    Parameters
    ----------
    controls : Controls
    representation : Representation
    context_s : float
        Seconds that the network looks back on directly.

    Raises
    ------
    AudioError
        If the song cannot be read, or holds no sound.
    """
    rate, channels = representation.sample_rate, representation.channels
    count = max(1, round(controls.prompt_seconds * rate))
    if controls.prompt is not None:
        return _song(controls, rate, channels, count, context_s)
    if controls.prompt_noise is None:
        return None
    make = PROMPT_NOISES.load(controls.prompt_noise)
    rng = np.random.default_rng(derive_seed(controls.seed, "seed noise"))
    columns = [make(rng, count, rate) for _ in range(channels)]
    return Prompt(representation.as_waveform(np.stack(columns, axis=1)), [])


def _song(controls: Controls, rate: int, channels: int, count: int, context_s: float) -> Prompt:
    """Read the last `count` samples of a song, block by block."""
    path = controls.prompt
    assert path is not None
    kept = np.zeros((0, channels), np.float32)
    with AudioReader(path) as reader:
        own_rate = reader.info.sample_rate
        for block in converted_blocks(reader, rate, channels):
            kept = np.concatenate([kept, block])[-count:]
        issues = [issue.text for issue in reader.issues]
    if not len(kept):
        raise AudioError(f"{path}: holds no sound (zero length); choose another song to go on from")
    warnings = _warnings(kept, own_rate, rate, count, context_s)
    remarks = [f"{path}: {text}" for text in issues + warnings]
    return Prompt(Waveform(kept[:, 0] if channels == 1 else kept, rate), remarks)


def _warnings(kept: NDArray[np.float32], own_rate: int, rate: int, asked: int, context_s: float) -> list[str]:
    seconds = len(kept) / rate
    found = []
    if own_rate != rate:
        found.append(f"converted from {own_rate:,} to the model's {rate:,} Hz")
    if seconds < context_s:
        found.append(
            f"holds {seconds:.3f} s, less than the {context_s:.3f} s that the network looks back on; "
            "what is missing is taken to be its first sample"
        )
    elif len(kept) < 0.999 * asked:
        found.append(
            f"holds {seconds:.2f} s of the {asked / rate:g} s asked for (--prompt-seconds); all of it was used"
        )
    if np.abs(kept).max() < SILENT:
        found.append("its used part is silent: the music begins as if from nothing")
    clipped = float((np.abs(kept) >= CLIPPED_AT).mean())
    if clipped > CLIPPED_SHARE:
        found.append(f"{clipped:.1%} of the used part is clipped at full scale: expect the music to go on distorted")
    return found
