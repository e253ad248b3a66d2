"""The compiled inner loop of many streams of one tiered network in lockstep.

The same steps as :mod:`noizenet.model.kernel_tiered`, with one more axis: every vector is a matrix [size, streams], so
that a matrix of weights is read once for all streams and its product is BLAS's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32

from noizenet.kernels.functions import compiled, sigmoid, tanh
from noizenet.kernels.panel import TILE
from noizenet.kernels.products import COLUMNS, ROWS, TALL, B, W
from noizenet.model.features import GAIN
from noizenet.model.kernel_tiered import (
    ADAPT,
    FRAME,
    HEAD,
    HIDDEN,
    LATEST,
    LAYERS,
    MEASURES,
    SAMPLES,
    SAY,
    SPEAK,
    TIER,
    W_HH,
    W_IH,
    adapt_lpc,
    describe,
    draw_mixture,
    lpc_predict,
    measure,
    place_mixture,
    push,
)
from noizenet.model.numeric import GRU, LSTM, draw_class


@compiled
def _begin(biases: Any, row: Any, part: Any, rows: Any, y: Any) -> None:
    for j in range(rows):
        bias = biases[row[B] + part * rows + j]
        for s in range(y.shape[1]):
            y[j, s] = bias


@compiled
def _add_product(weights: Any, row: Any, part: Any, rows: Any, x: Any, y: Any, spare: Any) -> None:
    columns = row[COLUMNS]
    first = row[W] + part * rows * columns
    block = weights[first : first + rows * columns]
    product = spare[:rows]
    if rows >= TALL:
        for j in range(0, rows, TILE):
            end = min(j + TILE, rows)
            np.dot(block[j * columns : end * columns].reshape(columns, end - j).T, x, product[j:end])
    else:
        np.dot(block.reshape(rows, columns), x, product)
    for j in range(rows):
        for s in range(y.shape[1]):
            y[j, s] += product[j, s]


@compiled
def _recur(cell: Any, weights: Any, biases: Any, row: Any, h: Any, c: Any, z: Any, zh: Any, spare: Any) -> None:
    H, S = h.shape
    if cell == GRU:
        _begin(biases, row, 0, 3 * H, zh)
        _add_product(weights, row, 0, 3 * H, h, zh, spare)
        for j in range(H):
            for s in range(S):
                r = sigmoid(z[j, s] + zh[j, s])
                u = sigmoid(z[H + j, s] + zh[H + j, s])
                n = tanh(z[2 * H + j, s] + r * zh[2 * H + j, s])
                h[j, s] = (float32(1.0) - u) * n + u * h[j, s]
    elif cell == LSTM:
        _add_product(weights, row, 0, 4 * H, h, z, spare)
        for j in range(H):
            for s in range(S):
                c[j, s] = sigmoid(z[H + j, s]) * c[j, s] + sigmoid(z[j, s]) * tanh(z[2 * H + j, s])
                h[j, s] = sigmoid(z[3 * H + j, s]) * tanh(c[j, s])
    else:
        _add_product(weights, row, 0, H, h, z, spare)
        for j in range(H):
            for s in range(S):
                h[j, s] = tanh(z[j, s])


@compiled
def _relu_sum(y: Any, rows: Any, genre: Any, condition: Any) -> None:
    for j in range(rows):
        for s in range(y.shape[1]):
            y[j, s] = max(y[j, s] + genre[j, s] + condition[j, s], float32(0.0))


@compiled
def run_batch(
    cell: Any, mixture: Any, weights: Any, biases: Any, layout: Any, tiers: Any, context: Any,
    genre: Any, features: Any, tables: Any, fixed: Any, edges: Any, given: Any, coarse_table: Any,
    h: Any, c: Any, ring: Any, place: Any, taps: Any, recent: Any, condition: Any, coarse_drawn: Any, coarse: Any,
    taper: Any, hop: Any, own: Any, lpc: Any, error: Any, seen: Any,
    uniforms: Any, temperature: Any, top_k: Any, top_p: Any,
    x: Any, z: Any, zh: Any, a: Any, b: Any, spare: Any, column: Any, row_p: Any, out: Any,
) -> None:  # fmt: skip
    """Run samples of every stream: as :func:`noizenet.model.kernel_tiered.run_tiered`, streams last.

    h, c [tiers, H, streams]; ring [2 · 2R, streams]; taps [order, streams]; recent [E, streams]; genre
    [tiers + 1 + M, D, streams]; wish [tiers + 1, D, streams]; sketched [M, streams]; sketches [n, M, streams];
    lpc [P, streams]; error [2, streams]; uniforms and out [samples, streams].
    """
    count, order = tiers.shape[0], fixed.shape[0]
    length, S = ring.shape[0] // 4, ring.shape[1]
    bottom = count * TIER
    C = layout[bottom + LATEST][ROWS]
    outputs = layout[bottom + HEAD][ROWS]
    has_coarse = coarse_table.shape[2] > 0
    drawn = 0
    guesses = np.zeros(S, np.float32)
    gain = float32(1.0) / float32(GAIN)
    for t in range(out.shape[0]):
        now = place[1]
        end = 2 * (place[0] + length)
        for k in range(count - 1, -1, -1):
            if now % tiers[k, SAMPLES] != 0:
                continue
            size, units = 2 * tiers[k, SAMPLES] * context, tiers[k, HIDDEN]
            rows = layout[k * TIER : (k + 1) * TIER]
            inputs, width = rows[FRAME][ROWS], rows[W_IH][ROWS]
            window = ring[end - size : end]
            if has_coarse and k == count - 1:
                b[:size] = window
                for s in range(S):
                    measure(window[:, s], tiers[k, SAMPLES], gain, b[size : size + MEASURES, s])
                window = b[: size + MEASURES]
            if k < count - 1:
                part = now % tiers[k + 1, SAMPLES] // tiers[k, SAMPLES]
                speaker = layout[(k + 1) * TIER + SPEAK]
                _begin(biases, speaker, part, inputs, x)
                _add_product(weights, speaker, part, inputs, h[k + 1, : tiers[k + 1, HIDDEN]], x, spare)
            else:
                x[:inputs] = float32(0.0)
            _add_product(weights, rows[FRAME], 0, inputs, window, x, spare)
            _relu_sum(x, inputs, genre[k], condition[k])
            _begin(biases, rows[W_IH], 0, width, z)
            _add_product(weights, rows[W_IH], 0, width, x[:inputs], z, spare)
            _recur(cell, weights, biases, rows[W_HH], h[k, :units], c[k, :units], z, zh, spare)
            if has_coarse and k == count - 1:
                for q in range(MEASURES):
                    row = layout[bottom + SAY + q]
                    R = row[ROWS]
                    _begin(biases, row, 0, R, z)
                    _add_product(weights, row, 0, R, h[k, :units], z, spare)
                    for s in range(S):
                        for j in range(R):
                            column[j] = z[j, s] + genre[count + 1 + q, j, s]
                            if q > 0:
                                column[j] += given[q, coarse_drawn[q - 1, s], j]
                        coarse_drawn[q, s] = draw_class(column[:R], coarse[drawn, q, s], temperature, 0, top_p)
                drawn += 1
                for layer in range(condition.shape[0]):
                    for j in range(condition.shape[1]):
                        for s in range(S):
                            condition[layer, j, s] = coarse_table[0, layer, coarse_drawn[0, s], j]
                            for q in range(1, MEASURES):
                                condition[layer, j, s] += coarse_table[q, layer, coarse_drawn[q, s], j]
            if k == 0 and order > 0:
                for j in range(order):
                    for s in range(S):
                        taps[j, s] = fixed[j]
                if layout[bottom + ADAPT][ROWS] > 0:
                    _add_product(weights, layout[bottom + ADAPT], 0, order, h[0, :units], taps, spare)

        part = now % tiers[0, SAMPLES]
        _begin(biases, layout[SPEAK], part, C, a)
        _add_product(weights, layout[SPEAK], part, C, h[0, : tiers[0, HIDDEN]], a, spare)
        size = layout[bottom + LATEST][COLUMNS]
        if lpc.shape[0] > 0:
            size -= 3
            if now % hop == 0:
                for s in range(S):
                    adapt_lpc(ring[end - 2 * taper.shape[0] : end, s], taper, gain, lpc[:, s], seen, error[:, s])
            b[:size] = ring[end - size : end]
            for s in range(S):
                guesses[s] = lpc_predict(lpc[:, s], ring[:, s], end, gain)
                describe(guesses[s], error[:, s], gain, b[size : size + 3, s])
            _add_product(weights, layout[bottom + LATEST], 0, C, b[: size + 3], a, spare)
        else:
            _add_product(weights, layout[bottom + LATEST], 0, C, ring[end - size : end], a, spare)
        for lag in range(tables.shape[0]):
            for s in range(S):
                for j in range(C):
                    a[j, s] += tables[lag, recent[lag, s], j]
        _relu_sum(a, C, genre[count], condition[count])
        for layer in range(bottom + LAYERS, layout.shape[0]):
            _begin(biases, layout[layer], 0, C, b)
            _add_product(weights, layout[layer], 0, C, a[:C], b, spare)
            for j in range(C):
                for s in range(S):
                    a[j, s] = max(b[j, s], float32(0.0))
        _begin(biases, layout[bottom + HEAD], 0, outputs, z)
        _add_product(weights, layout[bottom + HEAD], 0, outputs, a[:C], z, spare)
        for s in range(S):
            for j in range(outputs):
                column[j] = z[j, s]
            if mixture:
                level = coarse_drawn[0, s] if has_coarse else -1
                place_mixture(column[:outputs], own, taps[:, s], guesses[s], ring[:, s], end, gain, error[:, s], level)
                chosen = draw_mixture(column[:outputs], uniforms[t, s], temperature, top_p, edges, row_p)
            else:
                chosen = draw_class(column[:outputs], uniforms[t, s], temperature, top_k, top_p)
            out[t, s] = chosen
            push(chosen, features, ring[:, s], place[0], recent[:, s])
        place[0] = (place[0] + 1) % length
        place[1] = now + 1
