"""Waveform samples as classes: base class of quantisers of single samples."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from noizenet.representation.base import Decoder, Frames, Representation


@dataclass(frozen=True)
class SampleClasses(Representation):
    """One class per sample and channel; stereo is interleaved, so that right is predicted from left."""

    kind: ClassVar[str] = "classes"

    @property
    def frame_rate(self) -> float:
        """One frame per sample and channel."""
        return float(self.sample_rate * self.channels)

    @property
    def frame_multiple(self) -> int:
        """The channels of one instant are not separated."""
        return self.channels

    @property
    def left_context(self) -> int:
        """One instant."""
        return self.channels

    @abstractmethod
    def values(self) -> NDArray[np.float32]:
        """Return the sample value of each class, ascending, [V]."""

    def silence(self) -> Frames:
        """Return the class of 0."""
        return self._encode(np.zeros((1, 1), np.float32))

    def decoder(self) -> Decoder:
        """Return a table look-up."""
        return TableDecoder(self.values(), self.channels)


class TableDecoder(Decoder):
    """Looks up each class's value; an incomplete instant is kept until its last channel arrives."""

    shared = ("_table",)

    def __init__(self, table: NDArray[np.float32], channels: int) -> None:
        self._table = table
        self._channels = channels
        self._rest = np.zeros((0, 1), np.int32)

    def push(self, frames: Frames) -> NDArray[np.float32]:
        """Add frames; return the samples of complete instants."""
        frames = np.concatenate([self._rest, frames])
        whole = len(frames) // self._channels * self._channels
        self._rest = frames[whole:]
        return self._table[frames[:whole, 0]].reshape(-1, self._channels)

    def finish(self) -> NDArray[np.float32]:
        """Return no samples; an incomplete instant is dropped."""
        return np.zeros((0, self._channels), np.float32)
