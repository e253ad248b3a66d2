"""Batched decoding: many streams of one network in lockstep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from noizenet.base.errors import UsageError
from noizenet.model import kernel_batch
from noizenet.model.engine import class_frames, sampling_numbers
from noizenet.model.engine_tiered import TieredEngine
from noizenet.model.engine_tokens import TokenEngine
from noizenet.model.kernel_tiered import TieredDraws, TieredState
from noizenet.model.sampling import Sampling
from noizenet.model.stepper import DEFAULT_SAMPLING, Stepper


def step_batch(steppers: Sequence[Stepper], count: int, sampling: Sampling = DEFAULT_SAMPLING) -> NDArray[Any]:
    """Generate `count` frames of every stream.

    Parameters
    ----------
    steppers : sequence of Stepper
        Streams of one tiered network in ``fp32``, all at the same position, or of one token network. Each has its own
        genre and random numbers. Their states are advanced.
    count : int
    sampling : Sampling

    Returns
    -------
    ndarray
        [streams, count, K]. Each stream's frames are those of its own :meth:`Stepper.run`: bit by bit for token
        networks, up to rounding for tiered ones, where streams diverge once a draw falls within 1e-6 of an edge.

    Raises
    ------
    UsageError
        If the streams cannot be run together.
    """
    engines = [s.engine for s in steppers]
    tokens = [e for e in engines if isinstance(e, TokenEngine)]
    if tokens and len(tokens) == len(engines):
        return _tokens(steppers, tokens, count, sampling)
    if not engines or not all(isinstance(e, TieredEngine) and e.shares_weights(engines[0]) for e in engines):
        raise UsageError("streams form a batch only if they share one tiered network in fp32 (fork them from one)")
    first = engines[0]
    assert isinstance(first, TieredEngine)
    if any(not np.array_equal(e.memory["position"], first.memory["position"]) for e in engines):
        raise UsageError("streams form a batch only if all are at the same position")
    memory = {k: np.stack([e.memory[k] for e in engines], -1) for k in first.memory if k != "position"}
    position = first.memory["position"].copy()
    uniforms, coarse = (np.stack(drawn, -1) for drawn in zip(*(s.draw(count) for s in steppers), strict=True))
    out = np.zeros((count, len(engines)), np.int64)
    genre = np.stack([e.genre for e in engines if isinstance(e, TieredEngine)], -1)
    no_classes = np.zeros(0, np.int64)
    with threadpool_limits(1, user_api="blas"):  # products this small are slower with threads
        kernel_batch.run_batch(
            first.cell, first.mixture, first.packed, first.tables._replace(genre=genre),
            TieredState(**{name: position if name == "position" else memory[name] for name in TieredState._fields}),
            TieredDraws(no_classes, uniforms, no_classes, coarse), sampling_numbers(sampling),
            _scratch(first, len(engines)), out,
        )  # fmt: skip
    for i, (stepper, engine) in enumerate(zip(steppers, engines, strict=True)):
        engine.memory = {k: np.ascontiguousarray(v[..., i]) for k, v in memory.items()} | {"position": position.copy()}
        stepper.advance(count)
    return np.stack([class_frames(column, first.levels) for column in out.T])


def _scratch(engine: TieredEngine, streams: int) -> kernel_batch.BatchScratch:
    widest = max(len(v) for v in engine.scratch.values())
    shapes: list[Any] = [*[(widest, streams)] * 6, widest, 64, streams]
    return kernel_batch.BatchScratch._make(
        [*(np.zeros(shape, np.float32) for shape in shapes), engine.scratch["lpc_work"]]
    )


def _tokens(
    steppers: Sequence[Stepper], engines: Sequence[TokenEngine], count: int, sampling: Sampling
) -> NDArray[Any]:
    first = engines[0]
    if not all(first.shares_tokens(e) for e in engines):
        raise UsageError("streams form a batch only if they share one network (fork them from one)")
    uniforms = np.stack([s.draw(count)[0].reshape(count, -1) for s in steppers])
    empty = np.zeros((0, 0, 0), np.float32)
    codes = first.run_batch(engines, count, None, uniforms, empty, sampling, empty)
    for stepper in steppers:
        stepper.advance(count)
    return codes
