"""Compiled loop of many streams of one tiered network in lockstep.

The steps are those of :mod:`noizenet.model.kernel_tiered` with one more axis: every vector is a matrix [size, streams].
A weight matrix is read once for all streams, and BLAS computes the product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32

from noizenet.kernels.functions import compiled
from noizenet.kernels.panel import TILE
from noizenet.kernels.products import COLUMNS, ROWS, TALL, B, W
from noizenet.model.features import GAIN
from noizenet.model.kernel_tiered import (
    ADAPT,
    COARSE_PROJ,
    FRAME,
    HEAD,
    HIDDEN,
    LATEST,
    LAYERS,
    MEASURES,
    OUT_PROJ,
    SAMPLES,
    TIER,
    W_HH,
    W_IH,
    adapt_lpc,
    draw_mixture,
    lpc_features,
    lpc_predict,
    measure,
    mixture_params,
    push,
)
from noizenet.model.numeric import apply_gates, draw_class


@compiled
def _begin(biases: Any, row: Any, part: Any, rows: Any, y: Any) -> None:
    for j in range(rows):
        bias = biases[row[B] + part * rows + j]
        for s in range(y.shape[1]):
            y[j, s] = bias


@compiled
def _add_product(weights: Any, row: Any, part: Any, rows: Any, x: Any, y: Any, product_buffer: Any) -> None:
    columns = row[COLUMNS]
    first = row[W] + part * rows * columns
    block = weights[first : first + rows * columns]
    product = product_buffer[:rows]
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
def _recur(
    cell: Any, weights: Any, biases: Any, row: Any, h: Any, c: Any, z: Any, zh: Any, product_buffer: Any
) -> None:
    width = row[ROWS]
    if cell.separate:
        _begin(biases, row, 0, width, zh)
        _add_product(weights, row, 0, width, h, zh, product_buffer)
    elif cell.recurrent:
        _add_product(weights, row, 0, width, h, z, product_buffer)
    # The gates of all streams are those of one vector, since each unit of each stream is computed on its own.
    size = cell.gates * h.shape[0]
    apply_gates(cell, h.reshape(-1), c.reshape(-1), z[:size].reshape(-1), zh[:size].reshape(-1))


@compiled
def _relu_sum(y: Any, rows: Any, genre: Any, condition: Any) -> None:
    for j in range(rows):
        for s in range(y.shape[1]):
            y[j, s] = max(y[j, s] + genre[j, s] + condition[j, s], float32(0.0))


@compiled
def run_batch(
    cell: Any, mixture: Any, weights: Any, biases: Any, layout: Any, tiers: Any, context: Any,
    genre: Any, features: Any, tables: Any, base_taps: Any, edges: Any, previous: Any, coarse_table: Any,
    h: Any, c: Any, ring: Any, position: Any, taps: Any, recent: Any, condition: Any, coarse_drawn: Any, coarse: Any,
    taper: Any, hop: Any, n_learned: Any, lpc: Any, lpc_stats: Any, lpc_work: Any,
    uniforms: Any, temperature: Any, top_k: Any, top_p: Any,
    x: Any, z: Any, zh: Any, a: Any, b: Any, product_buffer: Any, column: Any, row_p: Any, out: Any,
) -> None:  # fmt: skip
    """Run samples of every stream: :func:`noizenet.model.kernel_tiered.run_tiered` with streams as the last axis.

    h, c [tiers, H, streams]; ring [2 · 2R, streams]; taps [order, streams]; recent [E, streams]; genre
    [tiers + 1 + M, D, streams]; condition [tiers + 1, D, streams]; coarse_drawn [M, streams]; coarse [n, M, streams];
    lpc [P, streams]; lpc_stats [2, streams]; uniforms and out [samples, streams].
    """
    count, order = tiers.shape[0], base_taps.shape[0]
    length, S = ring.shape[0] // 4, ring.shape[1]
    bottom = count * TIER
    C = layout[bottom + LATEST][ROWS]
    outputs = layout[bottom + HEAD][ROWS]
    has_coarse = coarse_table.shape[2] > 0
    coarse_step = 0
    lpc_means = np.zeros(S, np.float32)
    gain = float32(1.0) / float32(GAIN)
    for t in range(out.shape[0]):
        now = position[1]
        end = 2 * (position[0] + length)
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
                proj_row = layout[(k + 1) * TIER + OUT_PROJ]
                _begin(biases, proj_row, part, inputs, x)
                _add_product(weights, proj_row, part, inputs, h[k + 1, : tiers[k + 1, HIDDEN]], x, product_buffer)
            else:
                x[:inputs] = float32(0.0)
            _add_product(weights, rows[FRAME], 0, inputs, window, x, product_buffer)
            _relu_sum(x, inputs, genre[k], condition[k])
            _begin(biases, rows[W_IH], 0, width, z)
            _add_product(weights, rows[W_IH], 0, width, x[:inputs], z, product_buffer)
            _recur(cell, weights, biases, rows[W_HH], h[k, :units], c[k, :units], z, zh, product_buffer)
            if has_coarse and k == count - 1:
                for q in range(MEASURES):
                    row = layout[bottom + COARSE_PROJ + q]
                    R = row[ROWS]
                    _begin(biases, row, 0, R, z)
                    _add_product(weights, row, 0, R, h[k, :units], z, product_buffer)
                    for s in range(S):
                        for j in range(R):
                            column[j] = z[j, s] + genre[count + 1 + q, j, s]
                            if q > 0:
                                column[j] += previous[q, coarse_drawn[q - 1, s], j]
                        coarse_drawn[q, s] = draw_class(column[:R], coarse[coarse_step, q, s], temperature, 0, top_p)
                coarse_step += 1
                for layer in range(condition.shape[0]):
                    for j in range(condition.shape[1]):
                        for s in range(S):
                            condition[layer, j, s] = coarse_table[0, layer, coarse_drawn[0, s], j]
                            for q in range(1, MEASURES):
                                condition[layer, j, s] += coarse_table[q, layer, coarse_drawn[q, s], j]
            if k == 0 and order > 0:
                for j in range(order):
                    for s in range(S):
                        taps[j, s] = base_taps[j]
                if layout[bottom + ADAPT][ROWS] > 0:
                    _add_product(weights, layout[bottom + ADAPT], 0, order, h[0, :units], taps, product_buffer)

        part = now % tiers[0, SAMPLES]
        _begin(biases, layout[OUT_PROJ], part, C, a)
        _add_product(weights, layout[OUT_PROJ], part, C, h[0, : tiers[0, HIDDEN]], a, product_buffer)
        size = layout[bottom + LATEST][COLUMNS]
        if lpc.shape[0] > 0:
            size -= 3
            if now % hop == 0:
                for s in range(S):
                    adapt_lpc(
                        ring[end - 2 * taper.shape[0] : end, s], taper, gain, lpc[:, s], lpc_work, lpc_stats[:, s]
                    )
            b[:size] = ring[end - size : end]
            for s in range(S):
                lpc_means[s] = lpc_predict(lpc[:, s], ring[:, s], end, gain)
                lpc_features(lpc_means[s], lpc_stats[:, s], gain, b[size : size + 3, s])
            _add_product(weights, layout[bottom + LATEST], 0, C, b[: size + 3], a, product_buffer)
        else:
            _add_product(weights, layout[bottom + LATEST], 0, C, ring[end - size : end], a, product_buffer)
        for lag in range(tables.shape[0]):
            for s in range(S):
                for j in range(C):
                    a[j, s] += tables[lag, recent[lag, s], j]
        _relu_sum(a, C, genre[count], condition[count])
        for layer in range(bottom + LAYERS, layout.shape[0]):
            _begin(biases, layout[layer], 0, C, b)
            _add_product(weights, layout[layer], 0, C, a[:C], b, product_buffer)
            for j in range(C):
                for s in range(S):
                    a[j, s] = max(b[j, s], float32(0.0))
        _begin(biases, layout[bottom + HEAD], 0, outputs, z)
        _add_product(weights, layout[bottom + HEAD], 0, outputs, a[:C], z, product_buffer)
        for s in range(S):
            for j in range(outputs):
                column[j] = z[j, s]
            if mixture:
                level = coarse_drawn[0, s] if has_coarse else -1
                mixture_params(
                    column[:outputs], n_learned, taps[:, s], lpc_means[s], ring[:, s], end, gain, lpc_stats[:, s], level
                )
                chosen = draw_mixture(column[:outputs], uniforms[t, s], temperature, top_p, edges, row_p)
            else:
                chosen = draw_class(column[:outputs], uniforms[t, s], temperature, top_k, top_p)
            out[t, s] = chosen
            push(chosen, features, ring[:, s], position[0], recent[:, s])
        position[0] = (position[0] + 1) % length
        position[1] = now + 1
