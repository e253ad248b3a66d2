"""The input of views: a file, read block by block, or a waveform in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.issue import Issue
from noizenet.audio.read import AudioReader, mono_blocks
from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.base.errors import AudioError

BLOCK = 1 << 17


class Sound(NamedTuple):
    """A name, a sample rate in Hz, mono blocks float32 [n], and issues (complete after the last block)."""

    name: str
    sample_rate: int
    blocks: Iterator[NDArray[np.float32]]
    issues: Sequence[Issue] = ()


@contextmanager
def open_sound(source: Path | str | Waveform, name: str = "") -> Iterator[Sound]:
    """Open a file or a waveform as mono blocks.

    Raises
    ------
    AudioError
        If the file cannot be read, or holds no sound.
    """
    if isinstance(source, Waveform):
        mono = mix_channels(source.samples, 1)[:, 0]
        parts = (mono[i : i + BLOCK] for i in range(0, len(mono), BLOCK))
        yield Sound(name or "waveform", source.sample_rate, _not_empty(parts, name or "the waveform"))
        return
    with AudioReader(source) as reader:
        blocks = _not_empty(mono_blocks(reader), str(source))
        yield Sound(name or Path(source).name, reader.info.sample_rate, blocks, reader.issues)


def _not_empty(blocks: Iterator[NDArray[np.float32]], name: str) -> Iterator[NDArray[np.float32]]:
    count = 0
    for block in blocks:
        count += len(block)
        if len(block):
            yield block
    if not count:
        raise AudioError(f"{name}: holds no sound (zero length)")
