"""Compiled loop of token networks: any number of streams in lockstep, one thread, no Python per frame.

Each stream's frames are bit by bit those of a single stream; only the reads of the weights are shared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import float32

from noizenet.kernels.functions import compiled, compiled_as_written, sigmoid
from noizenet.kernels.products import add_products, begin_all
from noizenet.model.architecture import RMS_EPS
from noizenet.model.numeric import apply_gates, draw_class, nll

# Rows of the layout: each layer's input and recurrent matrices; each code's input and output projections; with
# lookbacks their matrix; with gated layers the two matrices of each code.


class StackTables(NamedTuple):
    """Embeddings of width E that are summed at the input of the stack.

    `codes` [K, V, E]; `phase` [P + 1, E] of the beat's phase; `phrase` [Q + 1, E] of the beat in the phrase.
    """

    codes: Any
    phase: Any
    phrase: Any


class HeadTables(NamedTuple):
    """Embeddings that are summed in the head, of width D.

    `codes` [K (K - 1) / 2, V, D] of the codes before each code ([K - 1, V, D] if `shared`); `genre` [S, K, D]; `phase`
    [K, P + 1, D]; `phrase` [K, Q + 1, D]; `lookback` [L, K, V + 1, D], code v in row v + 1. `norms` [K, D] belong to
    the gated layers; [0, D] without them.
    """

    codes: Any
    shared: Any
    genre: Any
    phase: Any
    phrase: Any
    lookback: Any
    norms: Any


class Beat(NamedTuple):
    """Beat conditioning of S streams of n frames.

    `phase` and `phrase` [S, n], 0 for none; `lookback` [S, n, L], indices of frames in `history` [S, N + n, K], -1 for
    none. The last n frames of the history are written by the loop.
    """

    phase: Any
    phrase: Any
    lookback: Any
    history: Any


class TokenState(NamedTuple):
    """h and c [R, S, H], whose rows are the layers' queues of `dilations` states each, oldest first; current [S, K]."""

    h: Any
    c: Any
    current: Any


class TokenSampling(NamedTuple):
    """Settings of sampling; temperatures and top_p are per code [K].

    With guidance the logits are moved away from the logits without the genre, and from those without the beat's phase.
    """

    temperatures: Any
    top_k: int
    top_p: Any
    genre_guidance: float
    beat_guidance: float


class TokenScratch(NamedTuple):
    """Scratch of a run.

    x [S, E]; lookback_embedding [S, L · E]; layer_output [S, H]; z and zh [S, G · H]; hidden and y [3 S, D], wide
    [3 S, 2 D] and logits [3 S, V], whose first S rows are conditional; the rows without the genre and those without the
    phase follow if they are needed; raw_logits [V].
    """

    x: Any
    lookback_embedding: Any
    layer_output: Any
    z: Any
    zh: Any
    hidden: Any
    y: Any
    wide: Any
    logits: Any
    raw_logits: Any


@compiled_as_written
def add_gated_layer(packed: Any, up: Any, down: Any, norm: Any, x: Any, y: Any, wide: Any) -> None:
    """Add a gated layer to each row of x [n, D]: x + W_down (silu(a) · b), a and b being W_up times the normed x.

    The norm divides by the root mean square and multiplies by `norm` [D]. Scratch: y [n, D], wide [n, 2 D].
    """
    n, D = x.shape
    for s in range(n):
        total = float32(0.0)
        for d in range(D):
            total += x[s, d] * x[s, d]
        scale = float32(1.0) / np.sqrt(total / float32(D) + float32(RMS_EPS))
        for d in range(D):
            y[s, d] = x[s, d] * scale * norm[d]
    begin_all(packed.biases, up, wide)
    add_products(packed.weights, packed.scales, up, 2 * D, y, wide)
    for s in range(n):
        for d in range(D):
            y[s, d] = wide[s, d] * sigmoid(wide[s, d]) * wide[s, D + d]
    add_products(packed.weights, packed.scales, down, D, y, x)


@compiled_as_written
def embed_lookbacks(codes: Any, history: Any, lookback_codes: Any, lookback_embedding: Any) -> None:
    """Sum the code embeddings of the history's frames at `lookback_codes` [S, L]: lookback_embedding [S, L · E]."""
    E = codes.shape[2]
    for s in range(lookback_embedding.shape[0]):
        for i in range(lookback_codes.shape[1]):
            target = lookback_embedding[s, i * E : (i + 1) * E]
            for e in range(E):
                target[e] = float32(0.0)
            if lookback_codes[s, i] >= 0:
                for k in range(codes.shape[0]):
                    row = codes[k, history[s, lookback_codes[s, i], k]]
                    for e in range(E):
                        target[e] += row[e]


@compiled
def _embed_inputs(stack: Any, beat: Any, current: Any, t: Any, x: Any) -> None:
    """Sum the embeddings of the current frames and of their beats: x [S, E]."""
    codes = stack.codes
    E = codes.shape[2]
    for s in range(x.shape[0]):
        row = codes[0, current[s, 0]]
        for e in range(E):
            x[s, e] = row[e]
        for k in range(1, codes.shape[0]):
            row = codes[k, current[s, k]]
            for e in range(E):
                x[s, e] += row[e]
        if beat.phase[s, t] > 0:
            row = stack.phase[beat.phase[s, t]]
            for e in range(E):
                x[s, e] += row[e]
        if beat.phrase[s, t] > 0:
            row = stack.phrase[beat.phrase[s, t]]
            for e in range(E):
                x[s, e] += row[e]


@compiled
def _step_stack(cell: Any, residual: Any, dilations: Any, packed: Any, state: Any, scratch: Any) -> None:
    """Run one frame of the stack: x [S, E] → layer_output [S, H]."""
    h, c, z, zh, layer_output = state.h, state.c, scratch.z, scratch.zh, scratch.layer_output
    H = h.shape[2]
    width, first = cell.gates * H, 0
    for layer in range(dilations.shape[0]):
        inputs, recurrent = packed.layout[2 * layer], packed.layout[2 * layer + 1]
        last = first + dilations[layer] - 1
        begin_all(packed.biases, inputs, z)
        add_products(packed.weights, packed.scales, inputs, width, scratch.x if layer == 0 else layer_output, z)
        if cell.separate:
            begin_all(packed.biases, recurrent, zh)
        if cell.recurrent:
            add_products(packed.weights, packed.scales, recurrent, width, h[first], zh if cell.separate else z)
        for s in range(layer_output.shape[0]):
            h_oldest, c_oldest = h[first, s], c[first, s]
            apply_gates(cell, h_oldest, c_oldest, z[s], zh[s])
            out_row = layer_output[s]
            for j in range(H):  # the new state is the layer's output, and the last of its queue
                h_new, c_new = h_oldest[j], c_oldest[j]
                for row in range(first, last):
                    h[row, s, j] = h[row + 1, s, j]
                    c[row, s, j] = c[row + 1, s, j]
                h[last, s, j] = h_new
                c[last, s, j] = c_new
                out_row[j] = out_row[j] + h_new if residual and layer > 0 else h_new
        first = last + 1


@compiled
def _condition_code(
    k: Any, t: Any, head: Any, beat: Any, out: Any, first_genre: Any, first_beat: Any, hidden: Any
) -> None:
    """Add to the hidden rows of code k what conditions it: the codes before it, beat, lookbacks and genre.

    `first_genre` and `first_beat` are the first rows without the genre and without the beat; 0 if they are not needed.
    """
    D = hidden.shape[1]
    for s in range(out.shape[0]):
        for j in range(k):
            row = head.codes[j if head.shared else k * (k - 1) // 2 + j, out[s, t, j]]
            for d in range(D):
                hidden[s, d] += row[d]
        if beat.phrase[s, t] > 0:
            row = head.phrase[k, beat.phrase[s, t]]
            for d in range(D):
                hidden[s, d] += row[d]
        for i in range(beat.lookback.shape[2]):
            if beat.lookback[s, t, i] >= 0:
                row = head.lookback[i, k, beat.history[s, beat.lookback[s, t, i], k] + 1]
                for d in range(D):
                    hidden[s, d] += row[d]
        row = head.phase[k, beat.phase[s, t]]  # zeros without a beat
        if first_genre > 0:
            for d in range(D):
                hidden[first_genre + s, d] = hidden[s, d] + row[d]
        if first_beat > 0:
            for d in range(D):
                hidden[first_beat + s, d] = hidden[s, d] + head.genre[s, k, d]
        for d in range(D):
            hidden[s, d] = hidden[s, d] + head.genre[s, k, d] + row[d]


@compiled
def _choose_code(
    k: Any, t: Any, s: Any, has_beat: Any, sampling: Any, draws: Any, first_genre: Any, first_beat: Any, scratch: Any
) -> Any:
    """Return the code k of stream s: the forced one, or one drawn from its logits after guidance."""
    target, raw_logits = scratch.logits[s], scratch.raw_logits
    V = target.shape[0]
    if draws.forced.shape[0] > 0:
        return draws.forced[s, t, k]
    if first_genre > 0:
        uncond_genre = scratch.logits[first_genre + s]
        for v in range(V):
            target[v] += sampling.genre_guidance * (raw_logits[v] - uncond_genre[v])
    if first_beat > 0 and has_beat:
        uncond_beat = scratch.logits[first_beat + s]
        for v in range(V):
            target[v] += sampling.beat_guidance * (raw_logits[v] - uncond_beat[v])
    return draw_class(target, draws.uniforms[s, t, k], sampling.temperatures[k], sampling.top_k, sampling.top_p[k])


@compiled
def _draw_frame(
    t: Any, first_row: Any, packed: Any, head: Any, beat: Any, draws: Any, sampling: Any, scratch: Any, outputs: Any
) -> None:
    """Draw the codes of frame t of every stream, one after another. `first_row` is the head's first layout row."""
    streams, _, K = outputs.out.shape
    hidden, logits, raw_logits, record = scratch.hidden, scratch.logits, scratch.raw_logits, outputs.record
    D, V = hidden.shape[1], logits.shape[1]
    first_genre = streams if sampling.genre_guidance > 0.0 else 0
    first_beat = (first_genre + streams) if sampling.beat_guidance > 0.0 else 0
    n_rows = streams * (1 + (sampling.genre_guidance > 0.0) + (sampling.beat_guidance > 0.0))
    first_gated = first_row + 2 * K + (beat.lookback.shape[2] > 0)
    for k in range(K):
        in_proj, out_proj = packed.layout[first_row + 2 * k], packed.layout[first_row + 2 * k + 1]
        begin_all(packed.biases, in_proj, hidden[:streams])
        add_products(packed.weights, packed.scales, in_proj, D, scratch.layer_output, hidden[:streams])
        _condition_code(k, t, head, beat, outputs.out, first_genre, first_beat, hidden)
        if head.norms.shape[0] > 0:
            up, down = packed.layout[first_gated + 2 * k], packed.layout[first_gated + 2 * k + 1]
            add_gated_layer(packed, up, down, head.norms[k], hidden[:n_rows], scratch.y[:n_rows], scratch.wide[:n_rows])
        for s in range(n_rows):
            for d in range(D):
                hidden[s, d] = max(hidden[s, d], float32(0.0))
        begin_all(packed.biases, out_proj, logits[:n_rows])
        add_products(packed.weights, packed.scales, out_proj, V, hidden[:n_rows], logits)
        for s in range(streams):
            if record.shape[0] > 0:
                for v in range(V):
                    record[s, t, k * V + v] = logits[s, v]
            for v in range(V):
                raw_logits[v] = logits[s, v]
            has_beat = beat.phase[s, t] > 0
            chosen = _choose_code(k, t, s, has_beat, sampling, draws, first_genre, first_beat, scratch)
            outputs.nll_sum[s, 0] += nll(raw_logits, chosen)
            if draws.noise.shape[0] > 0 and draws.noise[s, t, k] >= 0:
                chosen = draws.noise[s, t, k]
            outputs.out[s, t, k] = chosen


@compiled
def run_tokens(
    cell: Any, residual: Any, dilations: Any, packed: Any, stack: Any, head: Any, beat: Any, state: Any, draws: Any,
    sampling: Any, scratch: Any, outputs: Any,
) -> None:  # fmt: skip
    """Run frames of K codes: out [S, n, K] for S streams.

    Parameters
    ----------
    cell : CellKind
    residual : bool
        Whether layers above the first have residual connections.
    dilations : int [layers]
    packed : Packed
    stack : StackTables
    head : HeadTables
    beat : Beat
    state : TokenState
    draws : Draws
        `forced` and `uniforms` [S, n, K] or empty; `noise` [S, n, K] replaces the chosen code where it is not negative,
        or is empty.
    sampling : TokenSampling
    scratch : TokenScratch
    outputs : Outputs
        `nll_sum` [S, 2], `out` [S, n, K], `record` [S, n, K · V] or empty.
    """
    streams, count, K = outputs.out.shape
    layers, E = dilations.shape[0], stack.codes.shape[2]
    first_new = beat.history.shape[1] - count  # index of the first new frame in the history
    for t in range(count):
        _embed_inputs(stack, beat, state.current, t, scratch.x)
        if beat.lookback.shape[2] > 0:
            embed_lookbacks(stack.codes, beat.history, beat.lookback[:, t], scratch.lookback_embedding)
            row = packed.layout[2 * layers + 2 * K]
            add_products(packed.weights, packed.scales, row, E, scratch.lookback_embedding, scratch.x)
        _step_stack(cell, residual, dilations, packed, state, scratch)
        _draw_frame(t, 2 * layers, packed, head, beat, draws, sampling, scratch, outputs)
        for s in range(streams):
            outputs.nll_sum[s, 1] += 1.0
            for k in range(K):
                state.current[s, k] = outputs.out[s, t, k]
                beat.history[s, first_new + t, k] = outputs.out[s, t, k]
