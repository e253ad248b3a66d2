"""Internals of a running network for display: its state, and its gate activations for the next frame."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from noizenet.model.cells.description import Cell
from noizenet.model.engine_tokens import BeatSchedule, TokenEngine
from noizenet.model.stepper import Stepper
from noizenet.model.weights import F32, Weights

SHOWN = 32
OPS = SimpleNamespace(sigmoid=expit, tanh=np.tanh)


def visible(stepper: Stepper, weights: Weights) -> dict[str, list[float]]:
    """Return up to 32 rounded values each of ``h``, ``c`` and, for token networks, of every gate of their cell.

    States are the top layer's. Gates are the bottom layer's, computed for the next frame.
    """
    memory, cell = stepper.engine.memory, weights.architecture.cell
    parts: dict[str, NDArray[Any]] = {"h": _top(memory.get("h")), "c": _top(memory.get("c"))}
    if len(cell.states) == 1:
        del parts["c"]
    if isinstance(stepper.engine, TokenEngine):
        parts |= _gates(cell, weights, memory, stepper.engine.beat_schedule(1))
    return {name: [round(float(v), 3) for v in part[:SHOWN]] for name, part in parts.items() if len(part)}


def _top(state: NDArray[Any] | None) -> NDArray[Any]:
    """Return the top layer's state, or the end of a flat state."""
    if state is None or not state.size:
        return np.zeros(0, np.float32)
    return state[-1] if state.ndim > 1 else state[-SHOWN:]


def _gates(
    cell: Cell, weights: Weights, memory: dict[str, NDArray[Any]], schedule: BeatSchedule
) -> dict[str, NDArray[Any]]:
    options = weights.architecture.options
    count = len(cell.gates)
    rows = (np.arange(count)[:, None] * options.hidden + np.arange(min(SHOWN, options.hidden))).reshape(-1)
    x = _embedded(weights, memory["current"])
    if options.clock:
        x = x + weights["phase_embedding.weight"][schedule.beat_phase[0]]
    if options.phrase:
        x = x + weights["phrase_embedding.weight"][schedule.phrase_beat[0]]
    if options.lookback_beats:
        missing = np.zeros_like(x)
        lookback = [
            missing if row < 0 else _embedded(weights, memory["history"][row]) for row in schedule.lookback_codes[0]
        ]
        x = x + weights["lookback.weight"] @ np.concatenate(lookback)
    name = "stack.cells.0.kernel"
    input_part = weights[f"{name}.weight_ih_l0"][rows] @ x + weights[f"{name}.bias_ih_l0"][rows]
    recurrent_part = np.zeros_like(input_part)
    if cell.recurrent:
        recurrent_part = weights[f"{name}.weight_hh_l0"][rows] @ memory["h"][0] + weights[f"{name}.bias_hh_l0"][rows]
    gates = cell.activations(np.split(input_part, count), np.split(recurrent_part, count), OPS)
    return dict(zip(cell.gates, gates, strict=True))


def _embedded(weights: Weights, codes: NDArray[Any]) -> F32:
    """Return the sum of the embeddings [E] of a frame's codes [K]."""
    total: F32 = np.sum([weights[f"codes.{k}.weight"][code] for k, code in enumerate(codes)], 0)
    return total
