"""A trained LSTM's gates while it reads a short recording: the course's cell with a model's weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.audio.write import write
from noizenet.base.files import write_text
from noizenet.course.lstm import Lstm
from noizenet.model.weights import Weights
from noizenet.store.model import Model

UNITS = 12


def lstm_of(weights: Weights, layer: int) -> Lstm:
    """Return a layer of a trained LSTM as the course's cell, in float64."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return Lstm(*(weights[f"stack.cells.{layer}.kernel.{n}"].astype(np.float64) for n in names))


def embed_codes(weights: Weights, codes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the input of a token network's first layer for codes [T, K], [T, E]: the sum of their embeddings."""
    tables = [weights[f"codes.{k}.weight"].astype(np.float64) for k in range(codes.shape[1])]
    total: NDArray[np.float64] = np.sum([table[codes[:, k]] for k, table in enumerate(tables)], 0)
    return total


def has_lstm_gates(model: Model) -> bool:
    """Return whether a model is an LSTM over codes, whose gates can be shown."""
    return model.architecture.tokens and model.architecture.options.cell == "lstm"


def write_gates(model: Model, music: Waveform, folder: Path) -> list[Path]:
    """Write ``gates.json`` and ``gates.ogg`` for the live figure; return the files.

    The gates are those of the first layer while it reads the music's codes, for the units whose forget gates vary most.
    """
    codes = model.representation.encode(music).astype(np.int64)
    cell, x = lstm_of(model.weights, 0), embed_codes(model.weights, codes)
    start = model.weights["start"].astype(np.float64)[0]
    hs, cs = cell.run(x, start[0], start[1])
    gates = [cell.gates(x[t], hs[t]) for t in range(len(x))]
    tracks = {name: np.array([g[name] for g in gates]).T for name in "ifgo"} | {"c": cs[1:].T}  # each [H, T]
    chosen = np.sort(np.argsort(-tracks["f"].std(1))[:UNITS])
    about = {
        "rate": model.representation.frame_rate, "sound": "gates.ogg", "units": chosen.tolist(),
        **{name: track[chosen].round(3).tolist() for name, track in tracks.items()},
    }  # fmt: skip
    write_text(folder / "gates.json", json.dumps(about, separators=(",", ":")))
    write(folder / "gates.ogg", music)
    return [folder / "gates.json", folder / "gates.ogg"]
