"""Engine of token networks, for :mod:`noizenet.model.kernel_tokens`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noizenet.kernels.products import Pack
from noizenet.model.engine import Engine, as_frame_type, layer_arrays
from noizenet.model.kernel_tokens import (
    Beat,
    HeadTables,
    StackTables,
    TokenSampling,
    TokenScratch,
    TokenState,
    run_tokens,
)
from noizenet.model.lookback import FRAMES_PER_BEAT, UNKNOWN, frames_before, steps_of
from noizenet.model.numeric import Draws, Outputs, Packed
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, Weights

STREAM_FIRST = ("current", "clock", "history", "steps")
"""Arrays of the memory that are batched along axis 0; the others have the layers there."""


class BeatSchedule(NamedTuple):
    """Beat conditioning of the next frames.

    `beat_phase` and `phrase_beat` [n] are those of :class:`~noizenet.model.network.BeatInputs`. `lookback_codes` [n, L]
    are indices of the frames so many beats ago, into the history followed by the next frames. `steps` [n] are the
    positions of the next frames in time (see :mod:`noizenet.model.lookback`).
    """

    beat_phase: NDArray[np.int64]
    phrase_beat: NDArray[np.int64]
    lookback_codes: NDArray[np.int64]
    steps: NDArray[np.int64]


class TokenEngine(Engine):
    """A recurrent stack over frames, and a head that draws the codes of a frame one after another."""

    def __init__(self, weights: Weights, start: NDArray[Any], precision: str) -> None:
        super().__init__(weights, start, precision)
        a = self._a
        o = a.options
        pack, layout = Pack(precision), []
        for number in range(o.layers):
            w_ih, w_hh, b_ih, b_hh = layer_arrays(weights, f"stack.cells.{number}")
            layout += [pack.add(w_ih, b_ih), pack.add(w_hh, b_hh)]
        for k in range(a.dim):
            for part in ("in_proj", "out_proj"):
                layout.append(pack.add(weights[f"head.{part}.{k}.weight"], weights[f"head.{part}.{k}.bias"]))
        if o.lookback_beats:
            layout.append(pack.add(weights["lookback.weight"]))
        for k in range(a.dim if o.depth_block == "gated" else 0):
            layout += [pack.add(weights[f"head.{part}.{k}.weight"]) for part in ("up", "down")]
        self._packed = Packed(*pack.arrays(), np.asarray(layout, np.int64))
        self._start_state, self._genres = weights["start"], weights.get("genre.weight")
        conditioned = range(a.dim if self._genres is not None else 0)
        self._genre_projs = [weights[f"head.genre_proj.{k}.weight"] for k in conditioned]  # K of [D, E]
        self._n_lookbacks = len(o.lookback_beats)
        self._history_length = FRAMES_PER_BEAT * max(o.lookback_beats, default=0)
        self._stack, self._head = self._tables(weights)
        self.pace = 0.0  # beats per frame
        self.scratch: dict[str, NDArray[Any]] = {}
        self.genre_projs = np.zeros((a.dim, o.depth_width), np.float32)
        self.reset()

    def reset(self) -> None:
        """Reset the memory to the start of a track."""
        self.memory = {
            "h": np.repeat(self._start_state[:, 0], self._a.dilations, 0),
            "c": np.repeat(self._start_state[:, -1], self._a.dilations, 0),
            "current": self._start.reshape(-1).astype(np.int64),
            "clock": np.zeros(2),  # position in beats at which the pace was set, and frames since then
        }
        if self._n_lookbacks:
            self.memory["history"] = np.zeros((self._history_length, self._a.dim), np.int16)  # newest last
            self.memory["steps"] = np.full(self._history_length, UNKNOWN)

    def set_genre(self, mix: F32) -> None:
        """Set the genre mix."""
        if self._genres is not None:
            embedding = mix @ self._genres
            self.genre_projs = np.stack([genre_proj @ embedding for genre_proj in self._genre_projs]).astype(np.float32)

    def set_pace(self, beats_per_frame: float, phase: float | None = None) -> None:
        """Set the beats per frame (0: no beat conditioning) and optionally the position `phase` in beats.

        With lookbacks and a clock that has run, the position is moved forward by whole beats (whole phrases for a
        network conditioned on phrases), since positions must not decrease.
        """
        o = self._a.options
        if not o.clock:
            return
        start, frames = self.memory["clock"]
        now = start + frames * self.pace
        if phase is not None and self._n_lookbacks and self.memory["steps"].max() != UNKNOWN:
            period = o.phrase or 1
            phase += period * math.ceil((now - phase) / period)
        self.memory["clock"] = np.array([now if phase is None else phase, 0.0])
        self.pace = beats_per_frame

    def beat_schedule(self, count: int) -> BeatSchedule:
        """Return the beat conditioning of the next `count` frames, without advancing the clock."""
        if not self.pace:
            empty = np.zeros(count, np.int64)
            return BeatSchedule(
                empty, empty, np.full((count, self._n_lookbacks), -1, np.int64), np.full(count, UNKNOWN)
            )
        o, clock = self._a.options, self.memory["clock"]
        beats = clock[0] + (clock[1] + np.arange(count) + 0.5) * self.pace
        beat_phase = 1 + np.floor(beats % 1.0 * o.clock).astype(np.int64) % o.clock
        phrase_beat = 1 + np.floor(beats).astype(np.int64) % o.phrase if o.phrase else np.zeros(count, np.int64)
        steps, lookback_codes = steps_of(beats), np.zeros((count, 0), np.int64)
        if self._n_lookbacks:
            lookback_codes = frames_before(
                np.concatenate([self.memory["steps"], steps]), o.lookback_beats, count, self._history_length
            )
        return BeatSchedule(beat_phase, phrase_beat, lookback_codes, steps)

    def _advance_clock(self, schedule: BeatSchedule) -> None:
        """Advance the clock by the frames of a schedule."""
        if self.pace:
            self.memory["clock"][1] += len(schedule.beat_phase)
        if self._n_lookbacks:
            self.memory["steps"] = np.concatenate([self.memory["steps"], schedule.steps])[-self._history_length :]

    def _tables(self, weights: Weights) -> tuple[StackTables, HeadTables]:
        """Return the embeddings of the stack and of the head; the genre's are those of the streams in a run."""
        a, o = self._a, self._a.options
        codes = np.stack([weights[f"codes.{k}.weight"] for k in range(a.dim)])
        tables = [weights[f"head.code_embeddings.{i}.weight"] for i in range(a.n_code_tables)]
        code_embeddings = np.stack(tables) if tables else np.zeros((0, a.levels, o.depth_width), np.float32)
        stack_phase, head_phase = self._position_tables(weights, "phase_embedding", o.clock)
        stack_phrase, head_phrase = self._position_tables(weights, "phrase_embedding", o.phrase)
        lookback = np.zeros((0, a.dim, a.levels + 1, o.depth_width), np.float32)
        if self._n_lookbacks:
            tables = [weights[f"head.lookback.{i}.weight"] for i in range(self._n_lookbacks * a.dim)]
            lookback = np.stack(tables).reshape(self._n_lookbacks, *lookback.shape[1:])
        gated = range(a.dim if o.depth_block == "gated" else 0)
        norms = np.zeros((0, o.depth_width), np.float32)
        if gated:
            norms = np.stack([weights[f"head.norm.{k}"] for k in gated])
        head = HeadTables(code_embeddings, o.depth_shared, None, head_phase, head_phrase, lookback, norms)
        return StackTables(codes, stack_phase, stack_phrase), head

    def _position_tables(self, weights: Weights, name: str, rows: int) -> tuple[F32, F32]:
        """Return the embeddings of a position in time: stack [rows + 1, E], head [K, rows + 1, D]; zeros if unused."""
        o, codebooks = self._a.options, range(self._a.dim)
        if not rows:
            return np.zeros((1, o.embedding), np.float32), np.zeros((len(codebooks), 1, o.depth_width), np.float32)
        return weights[f"{name}.weight"], np.stack([weights[f"head.{name}.{k}.weight"] for k in codebooks])

    def genre_guidance(self, sampling: Sampling) -> float:
        """Return the guidance scale of the genre; 0 for a network without genre conditioning."""
        return float(sampling.genre_guidance) if self._genre_projs else 0.0

    def beat_guidance(self, sampling: Sampling) -> float:
        """Return the guidance scale of the beat; 0 for a network without a clock."""
        return float(sampling.beat_guidance) if self._a.options.clock else 0.0

    @property
    def bytes_per_frame(self) -> float:
        """All matrices, and a row of each code table."""
        head = self._head.codes
        rows = self._stack.codes[:, 0].nbytes + (head[:, 0].nbytes if len(head) else 0)
        return float(self._packed.weights.nbytes + rows)

    def shares_tokens(self, other: Engine) -> bool:
        """Return whether both are token networks that share their packed weights."""
        return isinstance(other, TokenEngine) and other._packed.weights is self._packed.weights

    def run(
        self, count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64], coarse: NDArray[np.float64],
        noise: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames."""
        forced_codes = None if forced is None else forced[None]
        out = self.run_batch([self], count, forced_codes, uniforms, noise[None], sampling, record[None])
        return np.asarray(out[0])

    def _scratch(self, streams: int) -> TokenScratch:
        o = self._a.options
        width, depth, rows = self.cell.gates * o.hidden, o.depth_width, 3 * streams
        shapes = (
            (streams, o.embedding), (streams, self._n_lookbacks * o.embedding), (streams, o.hidden), (streams, width),
            (streams, width), (rows, depth), (rows, depth), (rows, 2 * depth), (rows, self._a.levels), self._a.levels,
        )  # fmt: skip
        return TokenScratch(*(np.zeros(shape, np.float32) for shape in shapes))

    def run_batch(
        self, engines: Sequence[TokenEngine], count: int, forced: NDArray[Any] | None, uniforms: NDArray[np.float64],
        noise: F32, sampling: Sampling, record: F32,
    ) -> NDArray[Any]:  # fmt: skip
        """Run `count` frames of engines that share these weights; axis 0 of every array is the engine."""
        streams, codebooks, o = len(engines), self._a.dim, self._a.options
        empty = np.zeros((0, 0, codebooks), np.int64)
        forced_codes = empty if forced is None else np.ascontiguousarray(forced, np.int64)
        class_noise = noise.astype(np.int64) if noise.size else empty
        out = np.zeros((streams, count, codebooks), np.int64)
        schedules = [e.beat_schedule(count) for e in engines]
        for engine, schedule in zip(engines, schedules, strict=True):
            engine._advance_clock(schedule)
        memory = {k: np.stack([e.memory[k] for e in engines], 0 if k in STREAM_FIRST else 1) for k in self.memory}
        history_before = memory.get("history", np.zeros((streams, 0, codebooks), np.int16))
        history = np.concatenate([history_before, np.zeros((streams, count, codebooks), np.int16)], 1)
        nll_sum, (temperatures, top_p) = np.zeros((streams, 2)), sampling.by_code(codebooks)
        beat = Beat(
            np.stack([c.beat_phase for c in schedules]), np.stack([c.phrase_beat for c in schedules]),
            np.stack([c.lookback_codes for c in schedules]), history,
        )  # fmt: skip
        state = TokenState(memory["h"], memory["c"], memory["current"])
        draws = Draws(
            forced_codes,
            uniforms.reshape(streams, count, codebooks) if uniforms.size else np.zeros((0, 0, codebooks)),
            class_noise,
        )
        numbers = TokenSampling(
            np.asarray(temperatures), int(sampling.top_k), np.asarray(top_p),
            self.genre_guidance(sampling), self.beat_guidance(sampling),
        )  # fmt: skip
        head = self._head._replace(genre=np.stack([e.genre_projs for e in engines]))
        outputs = Outputs(nll_sum, out, record if record.size else np.zeros((0, 0, 0), np.float32))
        run_tokens(
            self.cell, o.residual, np.asarray(self._a.dilations), self._packed, self._stack, head, beat, state, draws,
            numbers, self._scratch(streams), outputs,
        )  # fmt: skip
        if self._n_lookbacks:
            memory["history"] = history[:, -self._history_length :]
        for i, engine in enumerate(engines):
            engine.memory = {k: (v[i] if k in STREAM_FIRST else v[:, i]).copy() for k, v in memory.items()}
            engine.nll_sum += nll_sum[i]
        return as_frame_type(out, self._a.levels)
