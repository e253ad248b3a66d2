"""Waveform samples as linearly quantised classes: 16-bit PCM, or coarser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from noizenet.base.config import option
from noizenet.representation.base import Bound, Frames
from noizenet.representation.samples import SampleClasses


@dataclass(frozen=True)
class Linear(SampleClasses):
    """Each sample is one of `levels` equally spaced classes; 65,536 levels are lossless for 16-bit PCM.

    The value of class c is (c - V/2) / (V/2).
    """

    levels: int = option(65536, "number of classes", low=2, high=65536)

    name: ClassVar[str] = "linear"
    bound: ClassVar[Bound] = Bound("max-abs", 3.06e-5)

    def values(self) -> NDArray[np.float32]:
        """Return the sample value of each class, [V]."""
        return np.asarray((np.arange(self.levels) - self.levels / 2) / (self.levels / 2), np.float32)

    def _encode(self, samples: NDArray[np.float32]) -> Frames:
        half = self.levels / 2
        classes = np.floor(np.asarray(samples, np.float64) * half + half + 0.5)
        return np.clip(classes, 0, self.levels - 1).astype(np.int32).reshape(-1, 1)
