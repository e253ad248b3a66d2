"""Engine: a network's weights packed for one kind of compiled loop, and the memory of one stream."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.model import PRECISIONS
from noizenet.model.numeric import SamplingNumbers, cell_kind
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, Weights

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on


class Engine(ABC):
    """Base class of engines, which run the compiled loops for a stepper.

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
        State of the stream: all that the next frame depends on, apart from weights, genre and random numbers.
    nll_sum : float64 [2]
        Negative log-likelihood in nats of drawn or forced frames, and the number of frames in the sum; classes only.
    """

    memory: dict[str, NDArray[Any]]
    scratch: dict[str, NDArray[Any]]

    def __init__(self, weights: Weights, start: NDArray[Any], precision: str) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision: {precision!r} is none of {', '.join(PRECISIONS)}")
        self._a = weights.architecture
        self.cell = cell_kind(self._a.options.cell)
        self._start = np.asarray(start)
        self.nll_sum = np.zeros(2)

    @abstractmethod
    def reset(self) -> None:
        """Reset the memory to the start of a track."""

    @abstractmethod
    def set_genre(self, mix: F32) -> None:
        """Set the genre mix [G]."""

    def set_pace(self, beats_per_frame: float, phase: float | None = None) -> None:  # noqa: B027
        """Set the beats per frame and the position in beats, for a network with a clock."""

    @abstractmethod
    def run(
        self, count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64], coarse: NDArray[np.float64],
        noise: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames: sampled with `uniforms`, or teacher-forced with `forced`; add `noise` [count or 0, ...].

        `coarse` [:meth:`coarse_steps` (count), 3] holds the uniform numbers that draw coarse features.
        """

    def coarse_steps(self, count: int) -> int:
        """Return how many times coarse features will be drawn in the next `count` frames."""
        return 0

    @property
    @abstractmethod
    def bytes_per_frame(self) -> float:
        """Bytes of weights that a frame reads, on average."""

    def shares_tokens(self, other: Engine) -> bool:
        """Return whether both are token networks that share their packed weights."""
        return False

    def fork(self) -> Self:
        """Return an engine with the same weights and a copy of the memory."""
        other = copy.copy(self)
        other.memory = {k: v.copy() for k, v in self.memory.items()}
        other.scratch = {k: v.copy() for k, v in self.scratch.items()}
        other.nll_sum = self.nll_sum.copy()
        return other


def layer_arrays(weights: Weights, layer: str) -> tuple[F32, F32, F32, F32]:
    """Return a layer's W_ih, W_hh and the biases of both parts, as the compiled loops take them.

    Unless the cell needs its parts apart, the first bias is the sum of both. Without a recurrent part W_hh has no rows.
    """
    cell = weights.architecture.cell
    w_ih, b_ih = weights[f"{layer}.kernel.weight_ih_l0"], weights[f"{layer}.kernel.bias_ih_l0"]
    if not cell.recurrent:
        return w_ih, np.zeros((0, len(b_ih) // len(cell.gates)), np.float32), b_ih, np.zeros(0, np.float32)
    w_hh, b_hh = weights[f"{layer}.kernel.weight_hh_l0"], weights[f"{layer}.kernel.bias_hh_l0"]
    return w_ih, w_hh, b_ih if cell.separate else b_ih + b_hh, b_hh


def class_inputs(forced: NDArray[Any] | None, noise: F32) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return teacher-forced classes and injected noise as the kernels take them, int64 [n or 0]."""
    forced_classes = np.zeros(0, np.int64) if forced is None else np.ascontiguousarray(forced[:, 0], np.int64)
    return forced_classes, noise.reshape(-1).astype(np.int64)


def sampling_numbers(sampling: Sampling) -> SamplingNumbers:
    """Return the settings of sampling as the kernels take them."""
    return SamplingNumbers(float(sampling.temperature), int(sampling.top_k), float(sampling.top_p))


def class_frames(classes: NDArray[np.int64], levels: int) -> NDArray[Any]:
    """Return classes [n] as frames [n, 1]."""
    return as_frame_type(classes, levels)[:, None]


def as_frame_type(classes: NDArray[np.int64], levels: int) -> NDArray[Any]:
    """Return classes of any shape in the integer type of frames."""
    return classes.astype(np.int16 if levels <= 2**15 else np.int32)
