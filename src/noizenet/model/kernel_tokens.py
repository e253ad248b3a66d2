"""The compiled inner loop of token networks: any number of streams in lockstep, one thread, no Python per frame.

Each stream's frames are what they would be alone, to the bit: only the weights are read together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32

from noizenet.kernels.functions import compiled, compiled_as_written, sigmoid
from noizenet.kernels.products import add_products, begin_all
from noizenet.model.architecture import RMS_EPS
from noizenet.model.numeric import GRU, apply_gates, draw_class, nll

# Rows of the layout: a layer's input and recurrent matrices in turn; of each code what is said and what comes out; the
# matrix of the lookbacks, where there are some; of each code the two matrices of its gated layer, where it has one.


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
def embed_lookbacks(codes: Any, history: Any, lookback_codes: Any, past: Any) -> None:
    """Sum the embeddings of what was played at rows `lookback_codes` [S, L] of the history: past [S, L · E]."""
    E = codes.shape[2]
    for s in range(past.shape[0]):
        for i in range(lookback_codes.shape[1]):
            own = past[s, i * E : (i + 1) * E]
            for e in range(E):
                own[e] = float32(0.0)
            if lookback_codes[s, i] >= 0:
                for k in range(codes.shape[0]):
                    row = codes[k, history[s, lookback_codes[s, i], k]]
                    for e in range(E):
                        own[e] += row[e]


@compiled
def run_tokens(
    cell: Any, gates: Any, residual: Any, dilations: Any,
    weights: Any, scales: Any, biases: Any, layout: Any, codes: Any, given: Any, shared: Any, genre_projs: Any,
    clock: Any, beats: Any, beat_phase: Any, phrase: Any, parts: Any, phrase_beat: Any, look: Any,
    lookback_codes: Any, history: Any,
    norms: Any, h: Any, c: Any, current: Any, forced: Any, uniforms: Any, noise: Any,
    temperatures: Any, top_k: Any, top_p: Any, genre_guidance: Any, beat_guidance: Any, x: Any, past: Any, told: Any,
    z: Any, zh: Any,
    hidden: Any, y: Any, wide: Any, logits: Any, plain: Any, nll_sum: Any, out: Any, record: Any,
) -> None:  # fmt: skip
    """Run frames of K codes: out [S, n, K] for S streams.

    codes [K, V, E] are embeddings, given [K (K - 1) / 2, V, D] what each code hears of those before it (where it is
    `shared`, [K - 1, V, D], all hear the same), colours [S, K, D] what it hears of the genre; `clock` [P + 1, E] and
    `beats` [K, P + 1, D] are what stack and head hear at each of P phases of a beat, of which `beat_phase` [S, n] tells
    (0: none), `phrase` [Q + 1, E] and `parts` [K, Q + 1, D] the same of the Q beats of a phrase, of which `phrase_beat`
    [S, n] tells. `lookback_codes` [S, n, L] are the rows of `history` [S, N + n, K] that lay so many beats ago (-1:
    none), and `look` [L, K, V + 1, D] is what the head hears of a code v there, in row v + 1; the last n rows of the
    history are written here. `norms` [K, D] are those of gated layers, [0, D] for none. State: h and c [R, S, H], whose
    rows are the layers' queues (of `dilations` states each, the oldest first), current [S, K]. With `genre_guidance`
    the logits go as much further from those without the genre, with `beat_guidance` from those without the phase of the
    beat. `forced` [S, n, K] holds the frames to follow, or is empty to sample. Where `noise` [S, n, K] is not negative
    it stands in for the drawn code. `temperatures` and `top_p` are per code. `nll_sum` [S, 2] takes nats and the number
    of frames they are summed over, `record` [S, n, K · V] the logits, or is empty. Scratch: x [S, E], past [S, L · E],
    told [S, H], z and zh [S, G · H]; deep and y [3 S, D], wide [3 S, 2 D] and logits [3 S, V], of which the first third
    is what is drawn from, and those that follow are without the genre and without the phase, as far as they are needed;
    plain [V].
    """
    streams, count, K = out.shape
    V, E = codes.shape[1:]
    layers, H, D = dilations.shape[0], h.shape[2], hidden.shape[1]
    width = gates * H
    free = (
        streams if genre_guidance > 0.0 else 0
    )  # where the rows without the genre begin, and below those without the beat
    still = (free + streams) if beat_guidance > 0.0 else 0
    lookbacks = lookback_codes.shape[2]
    blocks = 2 * layers + 2 * K + (lookbacks > 0)  # where the layout's rows of the gated layers begin
    made = history.shape[1] - count  # where the history's rows of these frames begin
    said = streams * (1 + (genre_guidance > 0.0) + (beat_guidance > 0.0))
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
                row = clock[beat_phase[s, t]]
                for e in range(E):
                    x[s, e] += row[e]
            if phrase_beat[s, t] > 0:
                row = phrase[phrase_beat[s, t]]
                for e in range(E):
                    x[s, e] += row[e]
        if lookbacks > 0:
            embed_lookbacks(codes, history, lookback_codes[:, t], past)
            add_products(weights, scales, layout[2 * layers + 2 * K], E, past, x)
        first = 0
        for layer in range(layers):
            inputs, recurrent = layout[2 * layer], layout[2 * layer + 1]
            last = first + dilations[layer] - 1
            begin_all(biases, inputs, z)
            add_products(weights, scales, inputs, width, x if layer == 0 else told, z)
            if cell == GRU:
                begin_all(biases, recurrent, zh)
            add_products(weights, scales, recurrent, width, h[first], zh if cell == GRU else z)
            for s in range(streams):
                oldest, kept = h[first, s], c[first, s]
                apply_gates(cell, oldest, kept, z[s], zh[s])
                heard = told[s]
                for j in range(H):  # what it has come to is told to the next layer, and goes to the queue's end
                    value, memory = oldest[j], kept[j]
                    for row in range(first, last):
                        h[row, s, j] = h[row + 1, s, j]
                        c[row, s, j] = c[row + 1, s, j]
                    h[last, s, j] = value
                    c[last, s, j] = memory
                    heard[j] = heard[j] + value if residual and layer > 0 else value
            first = last + 1
        for k in range(K):
            in_proj, speak = layout[2 * layers + 2 * k], layout[2 * layers + 2 * k + 1]
            begin_all(biases, in_proj, hidden[:streams])
            add_products(weights, scales, in_proj, D, told, hidden[:streams])
            for s in range(streams):
                for j in range(k):
                    row = given[j if shared else k * (k - 1) // 2 + j, out[s, t, j]]
                    for d in range(D):
                        hidden[s, d] += row[d]
                if phrase_beat[s, t] > 0:
                    row = parts[k, phrase_beat[s, t]]
                    for d in range(D):
                        hidden[s, d] += row[d]
                for i in range(lookbacks):
                    if lookback_codes[s, t, i] >= 0:
                        row = look[i, k, history[s, lookback_codes[s, t, i], k] + 1]
                        for d in range(D):
                            hidden[s, d] += row[d]
                row = beats[k, beat_phase[s, t]]  # zeros where no beat is told
                if genre_guidance > 0.0:
                    for d in range(D):
                        hidden[free + s, d] = hidden[s, d] + row[d]
                if beat_guidance > 0.0:
                    for d in range(D):
                        hidden[still + s, d] = hidden[s, d] + genre_projs[s, k, d]
                for d in range(D):
                    hidden[s, d] = hidden[s, d] + genre_projs[s, k, d] + row[d]
            if norms.shape[0] > 0:
                up = blocks + 2 * k
                add_gated_layer(
                    weights, scales, biases, layout[up], layout[up + 1], norms[k], hidden[:said], y[:said], wide[:said]
                )
            for s in range(said):
                for d in range(D):
                    hidden[s, d] = max(hidden[s, d], float32(0.0))
            begin_all(biases, speak, logits[:said])
            add_products(weights, scales, speak, V, hidden[:said], logits)
            for s in range(streams):
                own = logits[s]
                if record.shape[0] > 0:
                    for v in range(V):
                        record[s, t, k * V + v] = own[v]
                for v in range(V):
                    plain[v] = own[v]
                if forced.shape[0] > 0:
                    chosen = forced[s, t, k]
                else:
                    if genre_guidance > 0.0:
                        uncond_genre = logits[free + s]
                        for v in range(V):
                            own[v] += genre_guidance * (plain[v] - uncond_genre[v])
                    if beat_guidance > 0.0 and beat_phase[s, t] > 0:
                        uncond_beat = logits[still + s]
                        for v in range(V):
                            own[v] += beat_guidance * (plain[v] - uncond_beat[v])
                    chosen = draw_class(own, uniforms[s, t, k], temperatures[k], top_k, top_p[k])
                nll_sum[s, 0] += nll(plain, chosen)
                if noise.shape[0] > 0 and noise[s, t, k] >= 0:
                    chosen = noise[s, t, k]
                out[s, t, k] = chosen
        for s in range(streams):
            nll_sum[s, 1] += 1.0
            for k in range(K):
                current[s, k] = out[s, t, k]
                history[s, made + t, k] = out[s, t, k]
