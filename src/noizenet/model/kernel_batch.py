"""Compiled loop of many streams of one tiered network in lockstep.

The steps are those of :mod:`noizenet.model.kernel_tiered` with one more axis: every vector is a matrix [size, streams].
A weight matrix is read once for all streams, and BLAS computes the product.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
def _begin(packed: Any, row: Any, part: Any, rows: Any, y: Any) -> None:
    """Set each column of y [rows, S] to a matrix's biases."""
    for j in range(rows):
        bias = packed.biases[row[B] + part * rows + j]
        for s in range(y.shape[1]):
            y[j, s] = bias


@compiled
def _add_product(packed: Any, row: Any, part: Any, rows: Any, x: Any, y: Any, product_buffer: Any) -> None:
    """Add W x to y [rows, S]; see :func:`noizenet.kernels.products.add_product`."""
    columns = row[COLUMNS]
    first = row[W] + part * rows * columns
    block = packed.weights[first : first + rows * columns]
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
def _recur(cell: Any, packed: Any, row: Any, h: Any, c: Any, z: Any, zh: Any, product_buffer: Any) -> None:
    width = row[ROWS]
    if cell.separate:
        _begin(packed, row, 0, width, zh)
        _add_product(packed, row, 0, width, h, zh, product_buffer)
    elif cell.recurrent:
        _add_product(packed, row, 0, width, h, z, product_buffer)
    # The gates of all streams are those of one vector, since each unit of each stream is computed on its own.
    size = cell.gates * h.shape[0]
    apply_gates(cell, h.reshape(-1), c.reshape(-1), z[:size].reshape(-1), zh[:size].reshape(-1))


@compiled
def _relu_sum(y: Any, rows: Any, genre: Any, condition: Any) -> None:
    for j in range(rows):
        for s in range(y.shape[1]):
            y[j, s] = max(y[j, s] + genre[j, s] + condition[j, s], float32(0.0))


class BatchScratch(NamedTuple):
    """Scratch: x, z, zh, a, b and product_buffer [widest, S]; column [widest]; row_p [64]; lpc_means [S]; lpc_work."""

    x: Any
    z: Any
    zh: Any
    a: Any
    b: Any
    product_buffer: Any
    column: Any
    row_p: Any
    lpc_means: Any
    lpc_work: Any


@compiled
def _step_tier(
    k: Any, now: Any, end: Any, gain: Any, cell: Any, packed: Any, net: Any, state: Any, scratch: Any
) -> None:
    """Run one step of tier k of every stream."""
    x, z, b, product_buffer = scratch.x, scratch.z, scratch.b, scratch.product_buffer
    count, samples, units = net.tiers.shape[0], net.tiers[k, SAMPLES], net.tiers[k, HIDDEN]
    rows = packed.layout[k * TIER : (k + 1) * TIER]
    inputs, width, size = rows[FRAME][ROWS], rows[W_IH][ROWS], 2 * samples * net.context
    window = state.ring[end - size : end]
    if net.coarse.shape[2] > 0 and k == count - 1:
        b[:size] = window
        for s in range(x.shape[1]):
            measure(window[:, s], samples, gain, b[size : size + MEASURES, s])
        window = b[: size + MEASURES]
    if k < count - 1:
        part, proj_row = now % net.tiers[k + 1, SAMPLES] // samples, packed.layout[(k + 1) * TIER + OUT_PROJ]
        _begin(packed, proj_row, part, inputs, x)
        above = state.h[k + 1, : net.tiers[k + 1, HIDDEN]]
        _add_product(packed, proj_row, part, inputs, above, x, product_buffer)
    else:
        x[:inputs] = float32(0.0)
    _add_product(packed, rows[FRAME], 0, inputs, window, x, product_buffer)
    _relu_sum(x, inputs, net.genre[k], state.condition[k])
    _begin(packed, rows[W_IH], 0, width, z)
    _add_product(packed, rows[W_IH], 0, width, x[:inputs], z, product_buffer)
    _recur(cell, packed, rows[W_HH], state.h[k, :units], state.c[k, :units], z, scratch.zh, product_buffer)


@compiled
def _draw_coarse(step: Any, packed: Any, net: Any, state: Any, draws: Any, sampling: Any, scratch: Any) -> None:
    """Draw the coarse features of every stream for the slowest tier's next step."""
    k = net.tiers.shape[0] - 1
    units, bottom, drawn, condition = net.tiers[k, HIDDEN], (k + 1) * TIER, state.coarse_drawn, state.condition
    z, column, S = scratch.z, scratch.column, drawn.shape[1]
    for q in range(MEASURES):
        row = packed.layout[bottom + COARSE_PROJ + q]
        R = row[ROWS]
        _begin(packed, row, 0, R, z)
        _add_product(packed, row, 0, R, state.h[k, :units], z, scratch.product_buffer)
        for s in range(S):
            for j in range(R):
                column[j] = z[j, s] + net.genre[k + 2 + q, j, s]
                if q > 0:
                    column[j] += net.previous[q, drawn[q - 1, s], j]
            drawn[q, s] = draw_class(column[:R], draws.coarse[step, q, s], sampling.temperature, 0, sampling.top_p)
    for layer in range(condition.shape[0]):
        for j in range(condition.shape[1]):
            for s in range(S):
                condition[layer, j, s] = net.coarse[0, layer, drawn[0, s], j]
                for q in range(1, MEASURES):
                    condition[layer, j, s] += net.coarse[q, layer, drawn[q, s], j]


@compiled
def _adapt_taps(packed: Any, net: Any, state: Any, product_buffer: Any) -> None:
    """Compute the learned prediction's taps of every stream from the fastest tier's states."""
    order, row = net.base_taps.shape[0], packed.layout[net.tiers.shape[0] * TIER + ADAPT]
    for j in range(order):
        for s in range(state.taps.shape[1]):
            state.taps[j, s] = net.base_taps[j]
    if row[ROWS] > 0:
        _add_product(packed, row, 0, order, state.h[0, : net.tiers[0, HIDDEN]], state.taps, product_buffer)


@compiled
def _sample_network(now: Any, end: Any, gain: Any, packed: Any, net: Any, state: Any, scratch: Any) -> None:
    """Run the per-sample network of every stream: its outputs are the first rows of z."""
    layout, ring, a, b, product_buffer = packed.layout, state.ring, scratch.a, scratch.b, scratch.product_buffer
    count, S = net.tiers.shape[0], ring.shape[1]
    bottom = count * TIER
    latest, head = layout[bottom + LATEST], layout[bottom + HEAD]
    C, size = latest[ROWS], latest[COLUMNS]
    part = now % net.tiers[0, SAMPLES]
    _begin(packed, layout[OUT_PROJ], part, C, a)
    _add_product(packed, layout[OUT_PROJ], part, C, state.h[0, : net.tiers[0, HIDDEN]], a, product_buffer)
    if state.lpc.shape[0] > 0:
        size -= 3
        if now % net.hop == 0:
            for s in range(S):
                past = ring[end - 2 * net.taper.shape[0] : end, s]
                adapt_lpc(past, net.taper, gain, state.lpc[:, s], scratch.lpc_work, state.lpc_stats[:, s])
        b[:size] = ring[end - size : end]
        for s in range(S):
            scratch.lpc_means[s] = lpc_predict(state.lpc[:, s], ring[:, s], end, gain)
            lpc_features(scratch.lpc_means[s], state.lpc_stats[:, s], gain, b[size : size + 3, s])
        _add_product(packed, latest, 0, C, b[: size + 3], a, product_buffer)
    else:
        _add_product(packed, latest, 0, C, ring[end - size : end], a, product_buffer)
    for lag in range(net.tables.shape[0]):
        for s in range(S):
            for j in range(C):
                a[j, s] += net.tables[lag, state.recent[lag, s], j]
    _relu_sum(a, C, net.genre[count], state.condition[count])
    for layer in range(bottom + LAYERS, layout.shape[0]):
        _begin(packed, layout[layer], 0, C, b)
        _add_product(packed, layout[layer], 0, C, a[:C], b, product_buffer)
        for j in range(C):
            for s in range(S):
                a[j, s] = max(b[j, s], float32(0.0))
    _begin(packed, head, 0, head[ROWS], scratch.z)
    _add_product(packed, head, 0, head[ROWS], a[:C], scratch.z, product_buffer)


@compiled
def run_batch(
    cell: Any, mixture: Any, packed: Any, net: Any, state: Any, draws: Any, sampling: Any, scratch: Any, out: Any
) -> None:
    """Run samples of every stream: :func:`noizenet.model.kernel_tiered.run_tiered` with streams as the last axis.

    Arrays of the state (h, c [tiers, H, S]; ring [2 · 2R, S]; …) and of the draws (uniforms [n, S]; coarse [m, M, S])
    have that axis, and of the tables `genre`; `position` is the same for all streams. out [n, S].
    """
    count, ring, column = net.tiers.shape[0], state.ring, scratch.column
    length, S = ring.shape[0] // 4, ring.shape[1]
    n_outputs = packed.layout[count * TIER + HEAD][ROWS]
    has_coarse, coarse_step = net.coarse.shape[2] > 0, 0
    gain = float32(1.0) / float32(GAIN)
    scratch.lpc_means[:] = float32(0.0)
    for t in range(out.shape[0]):
        now, end = state.position[1], 2 * (state.position[0] + length)
        for k in range(count - 1, -1, -1):
            if now % net.tiers[k, SAMPLES] != 0:
                continue
            _step_tier(k, now, end, gain, cell, packed, net, state, scratch)
            if has_coarse and k == count - 1:
                _draw_coarse(coarse_step, packed, net, state, draws, sampling, scratch)
                coarse_step += 1
            if k == 0 and net.base_taps.shape[0] > 0:
                _adapt_taps(packed, net, state, scratch.product_buffer)
        _sample_network(now, end, gain, packed, net, state, scratch)
        for s in range(S):
            for j in range(n_outputs):
                column[j] = scratch.z[j, s]
            output, uniform = column[:n_outputs], draws.uniforms[t, s]
            if mixture:
                level = state.coarse_drawn[0, s] if has_coarse else -1
                mixture_params(
                    output, net.n_learned, state.taps[:, s], scratch.lpc_means[s], ring[:, s], end, gain,
                    state.lpc_stats[:, s], level,
                )  # fmt: skip
                chosen = draw_mixture(output, uniform, sampling.temperature, sampling.top_p, net.edges, scratch.row_p)
            else:
                chosen = draw_class(output, uniform, sampling.temperature, sampling.top_k, sampling.top_p)
            out[t, s] = chosen
            push(chosen, net.features, ring[:, s], state.position[0], state.recent[:, s])
        state.position[0] = (state.position[0] + 1) % length
        state.position[1] = now + 1
