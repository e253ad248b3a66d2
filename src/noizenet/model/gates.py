"""What can be seen of a network while it plays: its state, and how far its gates will open for the next frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from noizenet.model.engine_tokens import BeatSchedule, TokenEngine
from noizenet.model.stepper import Stepper
from noizenet.model.weights import F32, Weights

SHOWN = 32


def visible(stepper: Stepper, weights: Weights) -> dict[str, list[float]]:
    """Return up to 32 numbers of each part, rounded: ``h``, ``c`` and, of LSTMs over codes, ``i``, ``f``, ``g``, ``o``.

    States are the top layer's; gates are the bottom layer's, worked out for the frame that is about to be drawn.
    """
    memory = stepper.engine.memory
    parts: dict[str, NDArray[Any]] = {"h": _top(memory.get("h")), "c": _top(memory.get("c"))}
    if isinstance(stepper.engine, TokenEngine) and weights.architecture.options.cell == "lstm":
        parts |= _gates(weights, memory, stepper.engine.beat_schedule(1))
    return {name: [round(float(v), 3) for v in part[:SHOWN]] for name, part in parts.items() if len(part)}


def _top(state: NDArray[Any] | None) -> NDArray[Any]:
    """Return the last layer's numbers, or the end of a flat state."""
    if state is None or not state.size:
        return np.zeros(0, np.float32)
    return state[-1] if state.ndim > 1 else state[-SHOWN:]


def _gates(weights: Weights, memory: dict[str, NDArray[Any]], coming: BeatSchedule) -> dict[str, F32]:
    options = weights.architecture.options
    rows = (np.arange(4)[:, None] * options.hidden + np.arange(min(SHOWN, options.hidden))).reshape(-1)
    x = _embedded(weights, memory["current"])
    if options.clock:
        x = x + weights["clock.weight"][coming.beat_phase[0]]
    if options.phrase:
        x = x + weights["phrase.weight"][coming.phrase_beat[0]]
    if options.lookback_beats:
        none = np.zeros_like(x)
        then = [none if row < 0 else _embedded(weights, memory["history"][row]) for row in coming.lookback_codes[0]]
        x = x + weights["lookback.weight"] @ np.concatenate(then)
    name = "stack.cells.0.kernel"
    z = weights[f"{name}.weight_ih_l0"][rows] @ x + weights[f"{name}.bias_ih_l0"][rows]
    z += weights[f"{name}.weight_hh_l0"][rows] @ memory["h"][0] + weights[f"{name}.bias_hh_l0"][rows]
    i, f, g, o = np.split(z, 4)
    return {"i": expit(i), "f": expit(f), "g": np.tanh(g), "o": expit(o)}


def _embedded(weights: Weights, codes: NDArray[Any]) -> F32:
    """Return the sum of the embeddings [E] of a frame's codes [K]."""
    total: F32 = np.sum([weights[f"codes.{k}.weight"][code] for k, code in enumerate(codes)], 0)
    return total
