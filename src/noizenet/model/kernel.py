"""Compiled loop of plain networks: one stream, one thread, no allocation and no Python per frame."""

from __future__ import annotations

from typing import Any, NamedTuple

from noizenet.kernels.functions import compiled
from noizenet.kernels.products import add_product, begin
from noizenet.model.numeric import NLL_EVERY, draw_class, nll, recur

# Rows of the layout: each layer's input and recurrent matrices, then the head's matrix.
W_IH, W_HH = 0, 1


class PlainState(NamedTuple):
    """State of a stream: h and c [layers, H], and the current frame: a class [1] or a vector [D]."""

    h: Any
    c: Any
    current: Any


class PlainScratch(NamedTuple):
    """Scratch: z and zh [G · H]; output and raw_output [O]."""

    z: Any
    zh: Any
    output: Any
    raw_output: Any


@compiled
def _upper_layers(cell: Any, packed: Any, state: Any, scratch: Any) -> None:
    """Finish the bottom layer's step (z holds its input part), then run every layer above it."""
    h, c, z, zh = state.h, state.c, scratch.z, scratch.zh
    width = cell.gates * h.shape[1]
    recur(cell, packed, packed.layout[W_HH], h[0], c[0], z, zh)
    for layer in range(1, h.shape[0]):
        inputs = packed.layout[2 * layer + W_IH]
        begin(packed.biases, inputs, 0, width, z)
        add_product(packed.weights, packed.scales, inputs, 0, width, h[layer - 1], z)
        recur(cell, packed, packed.layout[2 * layer + W_HH], h[layer], c[layer], z, zh)


@compiled
def _head(packed: Any, h: Any, output: Any) -> None:
    """Compute the output [O] from the states h [layers, H]."""
    row, rows = packed.layout[2 * h.shape[0]], output.shape[0]
    begin(packed.biases, row, 0, rows, output)
    add_product(packed.weights, packed.scales, row, 0, rows, h[h.shape[0] - 1], output)


@compiled
def run_classes(
    cell: Any, packed: Any, table: Any, genre: Any, state: Any, draws: Any, sampling: Any, scratch: Any, outputs: Any
) -> None:
    """Run ``len(out)`` steps over classes.

    Parameters
    ----------
    cell : CellKind
    packed : Packed
    table, genre : float32
        Input parts of the bottom layer that a class [V, G · H] and the genre [G · H] contribute.
    state : PlainState
    draws : Draws
        `forced` [n or 0], `uniforms` and `noise` [n or 0], which is added to the chosen class.
    sampling : SamplingNumbers
    scratch : PlainScratch
    outputs : Outputs
        `out` [n], `record` [n or 0, V].
    """
    V, width = table.shape[0], cell.gates * state.h.shape[1]
    logits, raw_logits = scratch.output, scratch.raw_output
    for t in range(outputs.out.shape[0]):
        row = state.current[0]
        for j in range(width):
            scratch.z[j] = table[row, j] + genre[j]
        _upper_layers(cell, packed, state, scratch)
        _head(packed, state.h, logits)
        if outputs.record.shape[0] > 0:
            for j in range(V):
                outputs.record[t, j] = logits[j]
        with_nll = t % NLL_EVERY == 0
        if with_nll:
            for j in range(V):
                raw_logits[j] = logits[j]
        if draws.forced.shape[0] > 0:
            chosen = draws.forced[t]
        else:
            chosen = draw_class(logits, draws.uniforms[t], sampling.temperature, sampling.top_k, sampling.top_p)
        if with_nll:
            outputs.nll_sum[0] += nll(raw_logits, chosen)
            outputs.nll_sum[1] += 1.0
        if draws.noise.shape[0] > 0:
            chosen = min(max(chosen + draws.noise[t], 0), V - 1)
        outputs.out[t] = chosen
        state.current[0] = chosen


@compiled
def run_vectors(cell: Any, packed: Any, genre: Any, state: Any, draws: Any, scratch: Any, outputs: Any) -> None:
    """Run ``len(out)`` steps over vectors [D]; the prediction (or `forced`) is the next input.

    Parameters are those of :func:`run_classes`; frames are [n, D], and `noise` is added to the output.
    """
    D, width = outputs.out.shape[1], cell.gates * state.h.shape[1]
    prediction = scratch.output
    for t in range(outputs.out.shape[0]):
        for j in range(width):
            scratch.z[j] = genre[j]
        add_product(packed.weights, packed.scales, packed.layout[W_IH], 0, width, state.current, scratch.z)
        _upper_layers(cell, packed, state, scratch)
        _head(packed, state.h, prediction)
        for j in range(D):
            if outputs.record.shape[0] > 0:
                outputs.record[t, j] = prediction[j]
            value = draws.forced[t, j] if draws.forced.shape[0] > 0 else prediction[j]
            if draws.noise.shape[0] > 0:
                value += draws.noise[t, j]
            outputs.out[t, j] = value
            state.current[j] = value
