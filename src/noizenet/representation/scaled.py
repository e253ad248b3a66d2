"""Waveform samples as scaled numbers: z-score and min–max, the inputs of the paper's regressions."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.config import option
from noizenet.representation.base import Bound, Decoder, Frames, Representation

MIN_STD = 1e-6


class _ScaledDecoder(Decoder):
    def __init__(self, offset: float, scale: float, channels: int) -> None:
        self._offset, self._scale, self._channels = offset, scale, channels

    def push(self, frames: Frames) -> NDArray[np.float32]:
        samples = frames * np.float32(self._scale) + np.float32(self._offset)
        return np.asarray(np.clip(samples, -1.0, 1.0), np.float32)

    def finish(self) -> NDArray[np.float32]:
        return np.zeros((0, self._channels), np.float32)


@dataclass(frozen=True)
class _Scaled(Representation):
    """(x - offset) / scale, one vector of `channels` numbers per sample."""

    kind: ClassVar[str] = "vectors"
    bound: ClassVar[Bound] = Bound("max-abs", 1e-5)

    @property
    @abstractmethod
    def affine(self) -> tuple[float, float]:
        """(offset, scale)."""

    @property
    def frame_rate(self) -> float:
        """One frame per sample."""
        return float(self.sample_rate)

    @property
    def dim(self) -> int:
        """D = channels."""
        return self.channels

    def silence(self) -> Frames:
        """Return the frame of a zero sample."""
        return self._encode(np.zeros((1, self.channels), np.float32))

    def _encode(self, samples: NDArray[np.float32]) -> Frames:
        offset, scale = self.affine
        return ((samples - np.float32(offset)) / np.float32(scale)).astype(np.float32)

    def decoder(self) -> Decoder:
        """Return the inverse scaling, clipped to full scale."""
        return _ScaledDecoder(*self.affine, self.channels)


@dataclass(frozen=True)
class ZScore(_Scaled):
    """Samples standardised with the training music's mean and standard deviation."""

    mean: float = option(0.0, "mean of the training samples", low=-1, high=1)
    std: float = option(0.1, "standard deviation of the training samples", low=MIN_STD, high=1)

    name: ClassVar[str] = "z-score"

    @property
    def affine(self) -> tuple[float, float]:
        """(mean, standard deviation)."""
        return self.mean, self.std

    def fit(self, waveforms: Iterable[Waveform]) -> ZScore:
        """Fit mean and standard deviation to training music."""
        count, total, squares = 0, 0.0, 0.0
        for w in waveforms:
            x = w.samples.astype(np.float64).ravel()
            count, total, squares = count + x.size, total + float(x.sum()), squares + float(x @ x)
        mean = total / max(1, count)
        std = float(np.sqrt(max(squares / max(1, count) - mean * mean, 0.0)))
        return dataclasses.replace(self, mean=mean, std=min(1.0, max(std, MIN_STD)))


@dataclass(frozen=True)
class MinMax(_Scaled):
    """Samples with the training music's range scaled to [-1, 1]."""

    low: float = option(-1.0, "smallest training sample", low=-1, high=1)
    high: float = option(1.0, "largest training sample", low=-1, high=1)

    name: ClassVar[str] = "min-max"

    @property
    def affine(self) -> tuple[float, float]:
        """(middle, half range)."""
        return (self.low + self.high) / 2, max((self.high - self.low) / 2, MIN_STD)

    def fit(self, waveforms: Iterable[Waveform]) -> MinMax:
        """Fit the range to training music."""
        low, high = np.inf, -np.inf
        for w in waveforms:
            if len(w):
                low, high = min(low, float(w.samples.min())), max(high, float(w.samples.max()))
        if not np.isfinite(low):
            return self
        return dataclasses.replace(self, low=max(-1.0, low), high=min(1.0, high))
