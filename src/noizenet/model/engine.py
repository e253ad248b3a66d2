"""A network's weights packed for one kind of compiled loop, and one stream's memory beside them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.model.numeric import CELL_NUMBERS, GRU
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, GATES, PRECISIONS, Weights

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on


class Engine(ABC):
    """What a stepper drives.

    Parameters
    ----------
    weights : Weights
    start : ndarray
        The frame [1, ...] that precedes every track.
    precision : str
        Of the matrices: ``fp32``, ``bf16`` or ``int8``.

    Attributes
    ----------
    memory : dict of str to ndarray
        All that the next frame depends on, besides weights, genre and random numbers.
    nll_sum : float64 [2]
        Nats of what was drawn or followed, and over how many frames they were summed; classes only.
    """

    memory: dict[str, NDArray[Any]]
    scratch: dict[str, NDArray[Any]]

    def __init__(self, weights: Weights, start: NDArray[Any], precision: str) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision: {precision!r} is none of {', '.join(PRECISIONS)}")
        self._a = weights.architecture
        self._cell = CELL_NUMBERS[self._a.options.cell]
        self._gates = GATES[self._a.options.cell]
        self._start = np.asarray(start)
        self.nll_sum = np.zeros(2)

    @abstractmethod
    def reset(self) -> None:
        """Go to a track's start."""

    @abstractmethod
    def set_genre(self, mix: F32) -> None:
        """Set the genre mix [G]."""

    def set_pace(self, beats_per_frame: float, phase: float | None = None) -> None:  # noqa: B027
        """Set how fast the clock of a network that has one runs, and where in a beat it stands."""

    @abstractmethod
    def run(
        self, count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64], coarse: NDArray[np.float64],
        noise: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames: sampled with `uniforms`, or following `forced`; add `noise` [count or 0, ...].

        `coarse` [:meth:`coarse_steps` (count), 3] holds the uniform numbers for what is drawn beside frames.
        """

    def coarse_steps(self, count: int) -> int:
        """Return how many sketches will be drawn in the next `count` frames."""
        return 0

    @property
    @abstractmethod
    def bytes_per_frame(self) -> float:
        """Bytes of weights that a frame reads, on average."""

    def shares_tokens(self, other: Engine) -> bool:
        """Return whether both are token networks that play from the same matrices."""
        return False

    def fork(self) -> Self:
        """Return an engine that shares the weights and has its own memory."""
        other = copy.copy(self)
        other.memory = {k: v.copy() for k, v in self.memory.items()}
        other.scratch = {k: v.copy() for k, v in self.scratch.items()}
        other.nll_sum = self.nll_sum.copy()
        return other


def biases(weights: Weights, cell: str, kind: int) -> tuple[F32, F32]:
    """Return a cell's input and recurrent biases; both are always added, so (but for a GRU) they are added once."""
    b_ih, b_hh = weights[f"{cell}.kernel.bias_ih_l0"], weights[f"{cell}.kernel.bias_hh_l0"]
    return (b_ih, b_hh) if kind == GRU else (b_ih + b_hh, b_hh)


def class_inputs(forced: NDArray[Any] | None, noise: F32) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return frames to follow and jumps as the kernels want classes: int64 [n or 0]."""
    given = np.zeros(0, np.int64) if forced is None else np.ascontiguousarray(forced[:, 0], np.int64)
    return given, noise.reshape(-1).astype(np.int64)


def class_frames(classes: NDArray[np.int64], levels: int) -> NDArray[Any]:
    """Return classes [n] as frames [n, 1]."""
    return as_codes(classes, levels)[:, None]


def as_codes(classes: NDArray[np.int64], levels: int) -> NDArray[Any]:
    """Return classes of any shape in the type that frames have."""
    return classes.astype(np.int16 if levels <= 2**15 else np.int32)
