"""Token networks, packed for :mod:`noizenet.model.kernel_tokens`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.kernels.products import Pack
from noizenet.model.engine import Engine, as_codes, biases
from noizenet.model.kernel_tokens import run_tokens
from noizenet.model.lookback import FRAMES_A_BEAT, NOWHERE, frames_before, steps_of
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, Weights

LISTS = ("current", "clock", "history", "steps")
"""What of the memory has no rows of layers."""


class BeatSchedule(NamedTuple):
    """What is told of the next frames.

    `beat_phase` and `phrase_beat` [n] are those of :class:`~noizenet.model.network.Beat`, `lookback_codes` [n, L] the
    frames so many beats ago as rows of the history followed by the next frames themselves, and `steps` [n] where in
    time these lie (see :mod:`noizenet.model.lookback`).
    """

    beat_phase: NDArray[np.int64]
    phrase_beat: NDArray[np.int64]
    lookback_codes: NDArray[np.int64]
    steps: NDArray[np.int64]


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
            for part in ("in_proj", "out_proj"):
                layout.append(pack.add(weights[f"head.{part}.{k}.weight"], weights[f"head.{part}.{k}.bias"]))
        if o.lookback_beats:
            layout.append(pack.add(weights["lookback.weight"]))
        for k in range(a.dim if o.depth_block == "gated" else 0):
            layout += [pack.add(weights[f"head.{part}.{k}.weight"]) for part in ("up", "down")]
        self._layout = np.asarray(layout, np.int64)
        self._weights, self._scales, self._biases = pack.arrays()
        self._codes = np.stack([weights[f"codes.{k}.weight"] for k in range(a.dim)])
        tables = [weights[f"head.code_embeddings.{i}.weight"] for i in range(a.given_tables)]
        self._given = np.stack(tables) if tables else np.zeros((0, a.levels, o.depth_width), np.float32)
        self._first, self._genres = weights["start"], weights.get("genre.weight")
        told = range(a.dim if self._genres is not None else 0)
        self._genre_projs = [weights[f"head.genre_proj.{k}.weight"] for k in told]  # K of [D, E]
        self._clock, self._beats = self._tables(weights, "phase_embedding", o.clock)
        self._phrase, self._parts = self._tables(weights, "phrase_embedding", o.phrase)
        self._lookbacks, self._reach = len(o.lookback_beats), FRAMES_A_BEAT * max(o.lookback_beats, default=0)
        self._look = np.zeros((0, a.dim, a.levels + 1, o.depth_width), np.float32)
        if self._lookbacks:
            look = [weights[f"head.lookback.{i}.weight"] for i in range(self._lookbacks * a.dim)]
            self._look = np.stack(look).reshape(self._lookbacks, *self._look.shape[1:])
        gated = range(a.dim if o.depth_block == "gated" else 0)
        self._norms = (
            np.stack([weights[f"head.norm.{k}"] for k in gated]) if gated else np.zeros((0, o.depth_width), "f4")
        )
        self.pace = 0.0  # beats a frame
        self.scratch: dict[str, NDArray[Any]] = {}
        self.genre_projs = np.zeros((a.dim, o.depth_width), np.float32)
        self.reset()

    def reset(self) -> None:
        """Go to a track's start."""
        self.memory = {
            "h": np.repeat(self._first[:, 0], self._a.dilations, 0),
            "c": np.repeat(self._first[:, -1], self._a.dilations, 0),
            "current": self._start.reshape(-1).astype(np.int64),
            "clock": np.zeros(2),  # the beat at which the pace was set, and the frames since
        }
        if self._lookbacks:
            self.memory["history"] = np.zeros((self._reach, self._a.dim), np.int16)  # the newest last
            self.memory["steps"] = np.full(self._reach, NOWHERE)

    def set_genre(self, mix: F32) -> None:
        """Set the genre mix."""
        if self._genres is not None:
            embedding = mix @ self._genres
            self.genre_projs = np.stack([genre_proj @ embedding for genre_proj in self._genre_projs]).astype(np.float32)

    def set_pace(self, beats_per_frame: float, phase: float | None = None) -> None:
        """Set how fast the clock runs (0: nothing is told of a beat) and, where it is given, where it stands.

        `phase` is in beats. Where there are lookbacks and the clock has run, it stands for the next such place (in the
        beat, or in the phrase where the network is told it), since time does not go back.
        """
        o = self._a.options
        if not o.clock:
            return
        begun, frames = self.memory["clock"]
        now = begun + frames * self.pace
        if phase is not None and self._lookbacks and self.memory["steps"].max() != NOWHERE:
            turn = o.phrase or 1
            phase += turn * math.ceil((now - phase) / turn)
        self.memory["clock"] = np.array([now if phase is None else phase, 0.0])
        self.pace = beats_per_frame

    def beat_schedule(self, count: int) -> BeatSchedule:
        """Return what will be told of the next `count` frames; the clock stays where it is."""
        if not self.pace:
            none = np.zeros(count, np.int64)
            return BeatSchedule(none, none, np.full((count, self._lookbacks), -1, np.int64), np.full(count, NOWHERE))
        o, clock = self._a.options, self.memory["clock"]
        beats = clock[0] + (clock[1] + np.arange(count) + 0.5) * self.pace
        beat_phase = 1 + np.floor(beats % 1.0 * o.clock).astype(np.int64) % o.clock
        phrase_beat = 1 + np.floor(beats).astype(np.int64) % o.phrase if o.phrase else np.zeros(count, np.int64)
        steps, lookback_codes = steps_of(beats), np.zeros((count, 0), np.int64)
        if self._lookbacks:
            lookback_codes = frames_before(
                np.concatenate([self.memory["steps"], steps]), o.lookback_beats, count, self._reach
            )
        return BeatSchedule(beat_phase, phrase_beat, lookback_codes, steps)

    def _advance_clock(self, coming: BeatSchedule) -> None:
        """Let the clock run on by the frames of which this was told."""
        if self.pace:
            self.memory["clock"][1] += len(coming.beat_phase)
        if self._lookbacks:
            self.memory["steps"] = np.concatenate([self.memory["steps"], coming.steps])[-self._reach :]

    def _tables(self, weights: Weights, name: str, rows: int) -> tuple[F32, F32]:
        """Return what stack [rows + 1, E] and head [K, rows + 1, D] hear of time; zeros for no rows."""
        o, books = self._a.options, range(self._a.dim)
        if not rows:
            return np.zeros((1, o.embedding), np.float32), np.zeros((len(books), 1, o.depth_width), np.float32)
        return weights[f"{name}.weight"], np.stack([weights[f"head.{name}.{k}.weight"] for k in books])

    def genre_guidance(self, sampling: Sampling) -> float:
        """Return how far to go beyond the genre; 0 where there is none."""
        return float(sampling.genre_guidance) if self._genre_projs else 0.0

    def beat_guidance(self, sampling: Sampling) -> float:
        """Return how far to go beyond the beat; 0 where there is no clock."""
        return float(sampling.beat_guidance) if self._a.options.clock else 0.0

    @property
    def bytes_per_frame(self) -> float:
        """All matrices, and a row of each table."""
        rows = self._codes[:, 0].nbytes + (self._given[:, 0].nbytes if len(self._given) else 0)
        return float(self._weights.nbytes + rows)

    def shares_tokens(self, other: Engine) -> bool:
        """Return whether both play from the same matrices."""
        return isinstance(other, TokenEngine) and other._weights is self._weights

    def run(
        self, count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64], coarse: NDArray[np.float64],
        noise: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames."""
        given = None if forced is None else forced[None]
        out = self.run_batch([self], count, given, uniforms, noise[None], sampling, record[None])
        return np.asarray(out[0])

    def run_batch(
        self, engines: Sequence[TokenEngine], count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64],
        noise: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames of engines that share these weights; every array has their axis in front."""
        streams, books, o = len(engines), self._a.dim, self._a.options
        none = np.zeros((0, 0, books), np.int64)
        given = none if forced is None else np.ascontiguousarray(forced, np.int64)
        class_noise = noise.astype(np.int64) if noise.size else none
        out = np.zeros((streams, count, books), np.int64)
        coming = [e.beat_schedule(count) for e in engines]
        for engine, next_frames in zip(engines, coming, strict=True):
            engine._advance_clock(next_frames)
        memory = {k: np.stack([e.memory[k] for e in engines], 0 if k in LISTS else 1) for k in self.memory}
        past = memory.get("history", np.zeros((streams, 0, books), np.int16))
        history = np.concatenate([past, np.zeros((streams, count, books), np.int16)], 1)
        nll_sum, (temperatures, top_p) = np.zeros((streams, 2)), sampling.by_code(books)
        width, depth = self._gates * o.hidden, o.depth_width
        x, recalled, told, z, zh, hidden, y, wide, logits, plain = (
            np.zeros(shape, np.float32)
            for shape in (
                (streams, o.embedding), (streams, self._lookbacks * o.embedding), (streams, o.hidden), (streams, width),
                (streams, width), (3 * streams, depth), (3 * streams, depth), (3 * streams, 2 * depth),
                (3 * streams, self._a.levels), self._a.levels,
            )
        )  # fmt: skip
        run_tokens(
            self._cell, self._gates, o.residual, np.asarray(self._a.dilations),
            self._weights, self._scales, self._biases, self._layout, self._codes, self._given, o.depth_shared,
            np.stack([e.genre_projs for e in engines]), self._clock, self._beats,
            np.stack([c.beat_phase for c in coming]),
            self._phrase, self._parts, np.stack([c.phrase_beat for c in coming]), self._look,
            np.stack([c.lookback_codes for c in coming]), history, self._norms,
            memory["h"], memory["c"], memory["current"], given,
            uniforms.reshape(streams, count, books) if uniforms.size else np.zeros((0, 0, books)), class_noise,
            np.asarray(temperatures), int(sampling.top_k), np.asarray(top_p),
            self.genre_guidance(sampling), self.beat_guidance(sampling), x, recalled, told, z, zh, hidden, y, wide,
            logits, plain,
            nll_sum, out, record if record.size else np.zeros((0, 0, 0), np.float32),
        )  # fmt: skip
        if self._lookbacks:
            memory["history"] = history[:, -self._reach :]
        for i, engine in enumerate(engines):
            engine.memory = {k: (v[i] if k in LISTS else v[:, i]).copy() for k, v in memory.items()}
            engine.nll_sum += nll_sum[i]
        return as_codes(out, self._a.levels)
