"""A network packed for generation: one stream, stepped by the compiled kernel, its state saved and restored."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.model.kernel import CELL_NUMBERS, GRU, run_classes, run_vectors
from noizenet.model.network import Network
from noizenet.model.sampling import Sampling

PLAIN = Sampling()
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class StepperState:
    """All that a stream's future depends on: hidden state, the last frame, the random generators."""

    h: F32
    c: F32
    current: NDArray[Any]
    position: int
    draws: dict[str, Any]
    jumps: dict[str, Any]


class Stepper:
    """One stream of a network.

    Parameters
    ----------
    network : Network
        Its weights are copied; later training does not reach the stepper.
    start : ndarray
        The frame [1, ...] that precedes every track (the representation's silence).
    seed : int
        Fixes all that is drawn.

    Notes
    -----
    Equal to :meth:`Network.step` within 1e-4 absolute on outputs over 10,000 forced steps
    (tests/test_stepper.py). The cut into calls of :meth:`run` does not change what is generated.
    """

    def __init__(self, network: Network, start: NDArray[Any], seed: int = 0) -> None:
        a = self._a = network.architecture
        self._cell = CELL_NUMBERS[a.options.cell]
        self._gates = network.stack.layers()[0].w_ih.shape[0] // a.options.hidden
        self._pack(network)
        self._start = np.asarray(start)
        self._mix = np.full(a.genres, 1.0 / max(1, a.genres), np.float32)
        width = self._gates * a.options.hidden
        self._z, self._zh = np.zeros(width, np.float32), np.zeros(width, np.float32)
        self._logits = np.zeros(a.outputs, np.float32)
        self.reset(seed)
        self.set_genre(self._mix)

    def reset(self, seed: int = 0) -> None:
        """Go to a track's start, with fresh random generators."""
        a = self._a
        shape = (a.options.layers, a.options.hidden)
        self._h, self._c = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        first = self._start.reshape(-1)
        self._current = first.astype(np.int64 if a.kind == "classes" else np.float32)
        self._position = 0
        draws, jumps = np.random.SeedSequence(seed).spawn(2)
        self._draws, self._jumps = np.random.default_rng(draws), np.random.default_rng(jumps)

    def set_genre(self, mix: NDArray[np.floating]) -> None:
        """Set the genre mix [G]; it acts from the next frame on."""
        if len(mix) != self._a.genres:
            raise UsageError(f"a genre mix of {len(mix)} numbers, expected {self._a.genres}")
        self._mix = np.asarray(mix, np.float32)
        self._genre_bias = self._bias0.copy()
        if len(self._genre_weights):
            self._genre_bias += self._genre_weights @ (self._mix @ self._genre_table)

    def run(
        self,
        count: int,
        sampling: Sampling = PLAIN,
        *,
        inject_every: int = 0,
        inject_amount: float = 0.0,
    ) -> NDArray[Any]:
        """Generate `count` frames.

        Parameters
        ----------
        count : int
            Frames.
        sampling : Sampling
            Ignored by point predictions, which have nothing to draw.
        inject_every, inject_amount : int, float
            Add Gaussian noise to every `inject_every`-th frame that is fed back; the amount is in standard
            deviations of the training music for numbers, in halves of the class range for classes. 0: never.

        Returns
        -------
        ndarray
            int16 [count, 1] or float32 [count, D].
        """
        return self._advance(count, None, sampling, inject_every, inject_amount, record=False)[0]

    def warm(self, frames: NDArray[Any]) -> None:
        """Read given frames [n, ...], so that the stream goes on from them."""
        self._advance(len(frames), frames, Sampling(), 0, 0.0, record=False)

    def predict(self, frames: NDArray[Any]) -> F32:
        """Read given frames; return what was predicted before each of them, [n, O]."""
        return self._advance(len(frames), frames, Sampling(), 0, 0.0, record=True)[1]

    def save(self) -> StepperState:
        """Return a copy of the stream's state."""
        return StepperState(
            self._h.copy(), self._c.copy(), self._current.copy(), self._position,
            copy.deepcopy(dict(self._draws.bit_generator.state)), copy.deepcopy(dict(self._jumps.bit_generator.state)),
        )  # fmt: skip

    def restore(self, state: StepperState) -> None:
        """Go back to a saved state; what follows is what followed then."""
        self._h, self._c = state.h.copy(), state.c.copy()
        self._current, self._position = state.current.copy(), state.position
        self._draws.bit_generator.state = copy.deepcopy(state.draws)
        self._jumps.bit_generator.state = copy.deepcopy(state.jumps)

    def fork(self) -> Stepper:
        """Return a second stream that shares the weights and goes on from here."""
        other = copy.copy(self)
        other._draws, other._jumps = np.random.default_rng(), np.random.default_rng()
        other._z, other._zh, other._logits = self._z.copy(), self._zh.copy(), self._logits.copy()
        other.restore(self.save())
        return other

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that one step reads."""
        row = self._gates * self._a.options.hidden * 4 if self._a.kind == "classes" else 0
        return int(self._weights.nbytes) + row

    def _advance(
        self,
        count: int,
        forced: NDArray[Any] | None,
        sampling: Sampling,
        every: int,
        amount: float,
        *,
        record: bool,
    ) -> tuple[NDArray[Any], F32]:
        a = self._a
        classes = a.kind == "classes"
        recorded = np.zeros((count if record else 0, a.outputs), np.float32)
        jumps = self._noise(count, every, amount)
        if classes:
            given = np.zeros(0, np.int64) if forced is None else np.ascontiguousarray(forced[:, 0], np.int64)
            uniforms = self._draws.random(count) if forced is None else np.zeros(0)
            out: NDArray[Any] = np.zeros(count, np.int64)
            run_classes(
                self._cell, self._gates, self._weights, self._layout, self._table, self._genre_bias, self._head,
                self._bias, self._h, self._c, self._current, given, uniforms, jumps.reshape(-1).astype(np.int64),
                float(sampling.temperature), int(sampling.top_k), float(sampling.top_p),
                self._z, self._zh, self._logits, out, recorded,
            )  # fmt: skip
            out = out.astype(np.int16)[:, None]
        else:
            given = np.zeros((0, a.dim), np.float32) if forced is None else np.ascontiguousarray(forced, np.float32)
            out = np.zeros((count, a.dim), np.float32)
            run_vectors(
                self._cell, self._gates, self._weights, self._layout, self._genre_bias, self._head, self._bias,
                self._h, self._c, self._current, given, jumps, self._z, self._zh, out, recorded,
            )  # fmt: skip
        self._position += count
        return out, recorded

    def _noise(self, count: int, every: int, amount: float) -> F32:
        """Return the numbers to add to each of the next frames, [count, D], or [0, D] for none."""
        width = 1 if self._a.kind == "classes" else self._a.dim
        if every <= 0 or amount == 0:
            return np.zeros((0, width), np.float32)
        # The position in the stream, not in the call, says which frames are hit.
        hit = (self._position + np.arange(count)) % every == every - 1
        values = np.zeros((count, width), np.float32)
        scale = amount * (self._a.levels / 2 if self._a.kind == "classes" else 1.0)
        values[hit] = self._jumps.standard_normal((int(hit.sum()), width), np.float32) * scale
        return np.rint(values) if self._a.kind == "classes" else values

    def _pack(self, network: Network) -> None:
        a = self._a
        frame = a.frame_size
        parts: list[F32] = []
        at = 0

        def add(values: F32) -> int:
            nonlocal at
            parts.append(np.ascontiguousarray(values, np.float32).reshape(-1))
            at += parts[-1].size
            return at - parts[-1].size

        layout = []
        with torch.no_grad():
            for number, cell in enumerate(network.stack.layers()):
                w_ih, w_hh = _array(cell.w_ih), _array(cell.w_hh)
                b_ih, b_hh = _array(cell.b_ih), _array(cell.b_hh)
                if self._cell != GRU:  # both biases are always added: add them once
                    b_ih = b_ih + b_hh
                if number == 0:
                    self._bias0 = b_ih
                    self._genre_weights = w_ih[:, frame:] if a.genre_size else np.zeros((0, 0), np.float32)
                    if network.frame is not None:
                        self._table = np.ascontiguousarray(_array(network.frame.weight) @ w_ih[:, :frame].T)
                # A class's input part comes from the table: its weights need not be read.
                o_ih = 0 if number == 0 and a.kind == "classes" else add(w_ih[:, :frame] if number == 0 else w_ih)
                layout.append([o_ih, add(w_hh), add(b_ih), add(b_hh), w_ih.shape[1]])
            self._genre_table = (
                _array(network.genre.weight) if network.genre is not None else np.zeros((a.genres, 0), np.float32)
            )
            self._head = add(_array(network.head.linear.weight))
            self._bias = _array(network.head.linear.bias)
        self._layout = np.asarray(layout, np.int64)
        self._weights = np.concatenate(parts)


def _array(tensor: torch.Tensor) -> F32:
    return np.array(tensor.detach().float().cpu().numpy(), np.float32)
