"""Waveform samples as mu-law classes (ITU-T G.711's curve, with any number of levels)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.write import to_pcm16
from noizenet.base.config import option
from noizenet.representation.base import Bound, Frames
from noizenet.representation.samples import SampleClasses


@dataclass(frozen=True)
class MuLaw(SampleClasses):
    """Each sample is one of `levels` classes, finer near zero, where most samples are.

    With mu = levels - 1, ``y = sign(x) ln(1 + mu |x|) / ln(1 + mu)`` is divided into equal steps.
    """

    levels: int = option(256, "number of classes", low=2, high=4096)

    name: ClassVar[str] = "mu-law"
    bound: ClassVar[Bound] = Bound("max-abs", 0.0225)

    def values(self) -> NDArray[np.float32]:
        """Return the middle of each class's range, [V]."""
        return expand(np.arange(self.levels), self.levels)

    def _encode(self, samples: NDArray[np.float32]) -> Frames:
        table = _encode_table(self.levels)
        return table[to_pcm16(samples).reshape(-1).view(np.uint16)][:, None]


def compress(samples: NDArray[np.floating], levels: int) -> NDArray[np.int16]:
    """Map samples in [-1, 1] to classes 0 … levels - 1."""
    mu = levels - 1
    y = np.sign(samples) * np.log1p(mu * np.abs(samples)) / np.log1p(mu)
    return np.asarray(np.floor((y + 1) / 2 * mu + 0.5), np.int16)


def expand(classes: NDArray[np.integer], levels: int) -> NDArray[np.float32]:
    """Map classes back to samples in [-1, 1]."""
    mu = levels - 1
    y = 2.0 * np.asarray(classes, np.float64) / mu - 1.0
    return np.asarray(np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu, np.float32)


@lru_cache(maxsize=4)
def _encode_table(levels: int) -> NDArray[np.int16]:
    """Return the class of every 16-bit sample, indexed by its unsigned bit pattern."""
    signed = np.arange(65536, dtype=np.uint16).view(np.int16)
    return compress(signed / 32768.0, levels)
