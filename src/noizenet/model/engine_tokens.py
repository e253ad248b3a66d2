"""Token networks, packed for :mod:`noizenet.model.kernel_tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.kernels.products import Pack
from noizenet.model.engine import Engine, as_codes, biases
from noizenet.model.kernel_tokens import run_tokens
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, Weights

LISTS = ("current", "clock")
"""What of the memory has no rows of layers."""


class TokenEngine(Engine):
    """A stack of layers from frame to frame, and the codes of a frame one after another."""

    def __init__(self, weights: Weights, start: NDArray[Any], precision: str) -> None:
        super().__init__(weights, start, precision)
        a = self._a
        o = a.options
        pack, layout = Pack(precision), []
        for number in range(o.layers):
            cell = f"stack.cells.{number}"
            w_ih, w_hh = weights[f"{cell}.kernel.weight_ih_l0"], weights[f"{cell}.kernel.weight_hh_l0"]
            b_ih, b_hh = biases(weights, cell, self._cell)
            layout += [pack.add(w_ih, b_ih), pack.add(w_hh, b_hh)]
        for k in range(a.dim):
            for part in ("say", "out"):
                layout.append(pack.add(weights[f"head.{part}.{k}.weight"], weights[f"head.{part}.{k}.bias"]))
        self._layout = np.asarray(layout, np.int64)
        self._weights, self._scales, self._biases = pack.arrays()
        self._codes = np.stack([weights[f"codes.{k}.weight"] for k in range(a.dim)])
        tables = [weights[f"head.given.{p}.weight"] for p in range(a.dim * (a.dim - 1) // 2)]
        self._given = np.stack(tables) if tables else np.zeros((0, a.levels, o.depth_width), np.float32)
        self._first, self._genres = weights["start"], weights.get("genre.weight")
        told = range(a.dim if self._genres is not None else 0)
        self._colours = [weights[f"head.colour.{k}.weight"] for k in told]  # K of [D, E]
        self._clock = np.zeros((1, o.embedding), np.float32)
        self._beats = np.zeros((a.dim, 1, o.depth_width), np.float32)
        if o.clock:
            self._clock = weights["clock.weight"]
            self._beats = np.stack([weights[f"head.beat.{k}.weight"] for k in range(a.dim)])
        self.pace = 0.0  # beats a frame
        self.scratch: dict[str, NDArray[Any]] = {}
        self.colours = np.zeros((a.dim, o.depth_width), np.float32)
        self.reset()

    def reset(self) -> None:
        """Go to a track's start."""
        self.memory = {
            "h": np.repeat(self._first[:, 0], self._a.dilations, 0),
            "c": np.repeat(self._first[:, -1], self._a.dilations, 0),
            "current": self._start.reshape(-1).astype(np.int64),
            "clock": np.zeros(2),  # the beat at which the pace was set, and the frames since
        }

    def set_genre(self, mix: F32) -> None:
        """Set the genre mix."""
        if self._genres is not None:
            embedding = mix @ self._genres
            self.colours = np.stack([colour @ embedding for colour in self._colours]).astype(np.float32)

    def set_pace(self, beats_per_frame: float, phase: float | None = None) -> None:
        """Set how fast the clock runs (0: nothing is told of a beat) and, where it is given, where it stands."""
        if not self._a.options.clock:
            return
        begun, frames = self.memory["clock"]
        self.memory["clock"] = np.array([begun + frames * self.pace if phase is None else phase, 0.0])
        self.pace = beats_per_frame

    def ticks(self, count: int) -> NDArray[np.int64]:
        """Return what is told of the beat in the next frames, [count], and let the clock run on by them."""
        told = self.ticks_ahead(count)
        if self.pace:
            self.memory["clock"][1] += count
        return told

    def ticks_ahead(self, count: int) -> NDArray[np.int64]:
        """Return what will be told of the beat in the next frames, [count]; the clock stays where it is."""
        if not self.pace:
            return np.zeros(count, np.int64)
        clock = self.memory["clock"]
        beats = clock[0] + (clock[1] + np.arange(count) + 0.5) * self.pace
        phases = self._a.options.clock
        told: NDArray[np.int64] = 1 + np.floor(beats % 1.0 * phases).astype(np.int64) % phases
        return told

    def guidance(self, sampling: Sampling) -> float:
        """Return how far to go beyond the genre; 0 where there is none."""
        return float(sampling.guidance) if self._colours else 0.0

    def pulse(self, sampling: Sampling) -> float:
        """Return how far to go beyond the beat; 0 where there is no clock."""
        return float(sampling.pulse) if self._a.options.clock else 0.0

    @property
    def bytes_per_frame(self) -> float:
        """All matrices, and a row of each table."""
        rows = self._codes[:, 0].nbytes + (self._given[:, 0].nbytes if len(self._given) else 0)
        return float(self._weights.nbytes + rows)

    def shares_tokens(self, other: Engine) -> bool:
        """Return whether both play from the same matrices."""
        return isinstance(other, TokenEngine) and other._weights is self._weights

    def run(
        self, count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64], sketches: NDArray[np.float64],
        jumps: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames."""
        given = None if forced is None else forced[None]
        out = self.run_together([self], count, given, uniforms, jumps[None], sampling, record[None])
        return np.asarray(out[0])

    def run_together(
        self, engines: Sequence[TokenEngine], count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64],
        jumps: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames of engines that share these weights; every array has their axis in front."""
        streams, books, o = len(engines), self._a.dim, self._a.options
        none = np.zeros((0, 0, books), np.int64)
        given = none if forced is None else np.ascontiguousarray(forced, np.int64)
        leaps = jumps.astype(np.int64) if jumps.size else none
        out = np.zeros((streams, count, books), np.int64)
        ticks = np.stack([e.ticks(count) for e in engines])
        memory = {k: np.stack([e.memory[k] for e in engines], 0 if k in LISTS else 1) for k in self.memory}
        surprise, (temperatures, top_p) = np.zeros((streams, 2)), sampling.by_code(books)
        width = self._gates * o.hidden
        x, told, z, zh, deep, logits, plain = (
            np.zeros(shape, np.float32)
            for shape in (
                (streams, o.embedding), (streams, o.hidden), (streams, width), (streams, width),
                (3 * streams, o.depth_width), (3 * streams, self._a.levels), self._a.levels,
            )
        )  # fmt: skip
        run_tokens(
            self._cell, self._gates, o.residual, np.asarray(self._a.dilations),
            self._weights, self._scales, self._biases, self._layout, self._codes, self._given,
            np.stack([e.colours for e in engines]), self._clock, self._beats, ticks,
            memory["h"], memory["c"], memory["current"], given,
            uniforms.reshape(streams, count, books) if uniforms.size else np.zeros((0, 0, books)), leaps,
            np.asarray(temperatures), int(sampling.top_k), np.asarray(top_p),
            self.guidance(sampling), self.pulse(sampling), x, told, z, zh, deep, logits, plain, surprise, out,
            record if record.size else np.zeros((0, 0, 0), np.float32),
        )  # fmt: skip
        for i, engine in enumerate(engines):
            engine.memory = {k: (v[i] if k in LISTS else v[:, i]).copy() for k, v in memory.items()}
            engine.surprise += surprise[i]
        return as_codes(out, self._a.levels)
