"""Compiled loop of token networks: any number of streams in lockstep, one thread, no Python per frame.

Each stream's frames are bit by bit those of a single stream; only the reads of the weights are shared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32

from noizenet.kernels.functions import compiled, compiled_as_written, sigmoid
from noizenet.kernels.products import add_products, begin_all
from noizenet.model.architecture import RMS_EPS
from noizenet.model.numeric import apply_gates, draw_class, nll

# Rows of the layout: each layer's input and recurrent matrices; each code's input and output projections; with
# lookbacks their matrix; with gated layers the two matrices of each code.


@compiled_as_written
def add_gated_layer(
    weights: Any, scales: Any, biases: Any, up: Any, down: Any, norm: Any, x: Any, y: Any, wide: Any
) -> None:
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
    begin_all(biases, up, wide)
    add_products(weights, scales, up, 2 * D, y, wide)
    for s in range(n):
        for d in range(D):
            y[s, d] = wide[s, d] * sigmoid(wide[s, d]) * wide[s, D + d]
    add_products(weights, scales, down, D, y, x)


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
def run_tokens(
    cell: Any, residual: Any, dilations: Any,
    weights: Any, scales: Any, biases: Any, layout: Any, codes: Any, code_embeddings: Any, shared: Any,
    genre_projs: Any, stack_phase: Any, head_phase: Any, beat_phase: Any,
    stack_phrase: Any, head_phrase: Any, phrase_beat: Any, head_lookback: Any,
    lookback_codes: Any, history: Any,
    norms: Any, h: Any, c: Any, current: Any, forced: Any, uniforms: Any, noise: Any,
    temperatures: Any, top_k: Any, top_p: Any, genre_guidance: Any, beat_guidance: Any,
    x: Any, lookback_embedding: Any, layer_output: Any, z: Any, zh: Any,
    hidden: Any, y: Any, wide: Any, logits: Any, raw_logits: Any, nll_sum: Any, out: Any, record: Any,
) -> None:  # fmt: skip
    """Run frames of K codes: out [S, n, K] for S streams.

    Embeddings of the stack, size E: `codes` [K, V, E]; `stack_phase` [P + 1, E] of the beat's phase; `stack_phrase`
    [Q + 1, E] of the beat in the phrase. Embeddings of the head, size D: `code_embeddings` [K (K - 1) / 2, V, D] of the
    codes before each code ([K - 1, V, D] if `shared`); `genre_projs` [S, K, D] of the genre; `head_phase`
    [K, P + 1, D]; `head_phrase` [K, Q + 1, D]; `head_lookback` [L, K, V + 1, D], code v in row v + 1. `norms` [K, D]
    belong to the gated layers; [0, D] without them.

    Conditioning: `beat_phase` and `phrase_beat` [S, n], 0 for none; `lookback_codes` [S, n, L], indices of frames in
    `history` [S, N + n, K], -1 for none. The last n frames of the history are written here. State: h and c [R, S, H],
    whose rows are the layers' queues of `dilations` states each, oldest first; current [S, K].

    `forced` [S, n, K] holds the codes of teacher forcing, or is empty to sample. `noise` [S, n, K] replaces the chosen
    code where it is not negative; empty for none. `temperatures` and `top_p` are per code. With `genre_guidance` and
    `beat_guidance` the logits are moved away from the logits without the genre and without the beat's phase. `nll_sum`
    [S, 2] accumulates nats and the number of frames. `record` [S, n, K · V] receives the logits, or is empty.

    Scratch: x [S, E]; lookback_embedding [S, L · E]; layer_output [S, H]; z and zh [S, G · H]; hidden and y [3 S, D],
    wide [3 S, 2 D] and logits [3 S, V], whose first S rows are conditional; the rows without the genre and those
    without the phase follow if they are needed; raw_logits [V].
    """
    streams, count, K = out.shape
    V, E = codes.shape[1:]
    layers, H, D = dilations.shape[0], h.shape[2], hidden.shape[1]
    width = cell.gates * H
    # First rows of the logits without the genre and of those without the beat.
    uncond_genre_at = streams if genre_guidance > 0.0 else 0
    uncond_beat_at = (uncond_genre_at + streams) if beat_guidance > 0.0 else 0
    lookbacks = lookback_codes.shape[2]
    first_gated = 2 * layers + 2 * K + (lookbacks > 0)  # first layout row of the gated layers
    first_new = history.shape[1] - count  # index of the first new frame in the history
    n_rows = streams * (1 + (genre_guidance > 0.0) + (beat_guidance > 0.0))
    for t in range(count):
        for s in range(streams):
            row = codes[0, current[s, 0]]
            for e in range(E):
                x[s, e] = row[e]
            for k in range(1, K):
                row = codes[k, current[s, k]]
                for e in range(E):
                    x[s, e] += row[e]
            if beat_phase[s, t] > 0:
                row = stack_phase[beat_phase[s, t]]
                for e in range(E):
                    x[s, e] += row[e]
            if phrase_beat[s, t] > 0:
                row = stack_phrase[phrase_beat[s, t]]
                for e in range(E):
                    x[s, e] += row[e]
        if lookbacks > 0:
            embed_lookbacks(codes, history, lookback_codes[:, t], lookback_embedding)
            add_products(weights, scales, layout[2 * layers + 2 * K], E, lookback_embedding, x)
        first = 0
        for layer in range(layers):
            inputs, recurrent = layout[2 * layer], layout[2 * layer + 1]
            last = first + dilations[layer] - 1
            begin_all(biases, inputs, z)
            add_products(weights, scales, inputs, width, x if layer == 0 else layer_output, z)
            if cell.separate:
                begin_all(biases, recurrent, zh)
            if cell.recurrent:
                add_products(weights, scales, recurrent, width, h[first], zh if cell.separate else z)
            for s in range(streams):
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
        for k in range(K):
            in_proj, out_proj = layout[2 * layers + 2 * k], layout[2 * layers + 2 * k + 1]
            begin_all(biases, in_proj, hidden[:streams])
            add_products(weights, scales, in_proj, D, layer_output, hidden[:streams])
            for s in range(streams):
                for j in range(k):
                    row = code_embeddings[j if shared else k * (k - 1) // 2 + j, out[s, t, j]]
                    for d in range(D):
                        hidden[s, d] += row[d]
                if phrase_beat[s, t] > 0:
                    row = head_phrase[k, phrase_beat[s, t]]
                    for d in range(D):
                        hidden[s, d] += row[d]
                for i in range(lookbacks):
                    if lookback_codes[s, t, i] >= 0:
                        row = head_lookback[i, k, history[s, lookback_codes[s, t, i], k] + 1]
                        for d in range(D):
                            hidden[s, d] += row[d]
                row = head_phase[k, beat_phase[s, t]]  # zeros without a beat
                if genre_guidance > 0.0:
                    for d in range(D):
                        hidden[uncond_genre_at + s, d] = hidden[s, d] + row[d]
                if beat_guidance > 0.0:
                    for d in range(D):
                        hidden[uncond_beat_at + s, d] = hidden[s, d] + genre_projs[s, k, d]
                for d in range(D):
                    hidden[s, d] = hidden[s, d] + genre_projs[s, k, d] + row[d]
            if norms.shape[0] > 0:
                up = first_gated + 2 * k
                add_gated_layer(
                    weights,
                    scales,
                    biases,
                    layout[up],
                    layout[up + 1],
                    norms[k],
                    hidden[:n_rows],
                    y[:n_rows],
                    wide[:n_rows],
                )
            for s in range(n_rows):
                for d in range(D):
                    hidden[s, d] = max(hidden[s, d], float32(0.0))
            begin_all(biases, out_proj, logits[:n_rows])
            add_products(weights, scales, out_proj, V, hidden[:n_rows], logits)
            for s in range(streams):
                target = logits[s]
                if record.shape[0] > 0:
                    for v in range(V):
                        record[s, t, k * V + v] = target[v]
                for v in range(V):
                    raw_logits[v] = target[v]
                if forced.shape[0] > 0:
                    chosen = forced[s, t, k]
                else:
                    if genre_guidance > 0.0:
                        uncond_genre = logits[uncond_genre_at + s]
                        for v in range(V):
                            target[v] += genre_guidance * (raw_logits[v] - uncond_genre[v])
                    if beat_guidance > 0.0 and beat_phase[s, t] > 0:
                        uncond_beat = logits[uncond_beat_at + s]
                        for v in range(V):
                            target[v] += beat_guidance * (raw_logits[v] - uncond_beat[v])
                    chosen = draw_class(target, uniforms[s, t, k], temperatures[k], top_k, top_p[k])
                nll_sum[s, 0] += nll(raw_logits, chosen)
                if noise.shape[0] > 0 and noise[s, t, k] >= 0:
                    chosen = noise[s, t, k]
                out[s, t, k] = chosen
        for s in range(streams):
            nll_sum[s, 1] += 1.0
            for k in range(K):
                current[s, k] = out[s, t, k]
                history[s, first_new + t, k] = out[s, t, k]
