"""The compiled inner loop of many streams of one tiered network in lockstep.

The same steps as :mod:`noizenet.model.kernel_tiered`, with one more axis: every vector is a matrix [size, streams], so
that a matrix of weights is read once for all streams and its product is BLAS's.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import float32

from noizenet.model.features import GAIN
from noizenet.model.kernel_tiered import (
    ADAPT,
    FRAME,
    HEAD,
    HIDDEN,
    LATEST,
    LAYERS,
    LEVEL,
    NEPERS,
    SAMPLES,
    SPEAK,
    TIER,
    W_HH,
    W_IH,
    adapt_lpc,
    draw_mixture,
)
from noizenet.model.numeric import COLUMNS, GRU, LSTM, ROWS, B, W, draw_class, sigmoid, tanh
from noizenet.model.weights import LEVEL_LOW_DB, LEVEL_STEP_DB


@numba.njit(cache=True, fastmath=True, nogil=True)
def _begin(biases: Any, row: Any, part: Any, rows: Any, y: Any) -> None:
    for j in range(rows):
        bias = biases[row[B] + part * rows + j]
        for s in range(y.shape[1]):
            y[j, s] = bias


@numba.njit(cache=True, fastmath=True, nogil=True)
def _add_product(weights: Any, row: Any, part: Any, rows: Any, x: Any, y: Any, spare: Any) -> None:
    columns = row[COLUMNS]
    first = row[W] + part * rows * columns
    matrix = weights[first : first + rows * columns].reshape(rows, columns)
    product = spare[:rows]
    np.dot(matrix, x, product)
    for j in range(rows):
        for s in range(y.shape[1]):
            y[j, s] += product[j, s]


@numba.njit(cache=True, fastmath=True, nogil=True)
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


@numba.njit(cache=True, fastmath=True, nogil=True)
def _relu_sum(y: Any, rows: Any, genre: Any, wish: Any) -> None:
    for j in range(rows):
        for s in range(y.shape[1]):
            y[j, s] = max(y[j, s] + genre[j, s] + wish[j, s], float32(0.0))


@numba.njit(cache=True, fastmath=True, nogil=True)
def _measure(window: Any, count: Any, gain: Any, out: Any) -> None:
    first = window.shape[0] - 2 * count
    for s in range(window.shape[1]):
        power, change = 0.0, 0.0
        for j in range(count):
            v = window[first + 2 * j, s] * gain
            power += v * v
            if j > 0:
                d = v - window[first + 2 * j - 2, s] * gain
                change += d * d
        power = power / count + 1e-9
        change = change / (count - 1) + 1e-12
        out[0, s] = 10 * math.log10(power) / 30 + 1
        out[1, s] = 10 * math.log10(change / power) / 15 + 1


@numba.njit(cache=True, fastmath=True, nogil=True)
def run_together(
    cell: Any, mixture: Any, weights: Any, biases: Any, layout: Any, tiers: Any, context: Any,
    genre: Any, features: Any, tables: Any, fixed: Any, edges: Any, bright_at: Any, tell_level: Any, tell_bright: Any,
    h: Any, c: Any, ring: Any, place: Any, taps: Any, recent: Any, wish: Any, sketched: Any, sketches: Any,
    taper: Any, hop: Any, own: Any, lpc: Any, error: Any, seen: Any,
    uniforms: Any, temperature: Any, top_k: Any, top_p: Any,
    x: Any, z: Any, zh: Any, a: Any, b: Any, spare: Any, column: Any, row_p: Any, out: Any,
) -> None:  # fmt: skip
    """Run samples of every stream: as :func:`noizenet.model.kernel_tiered.run_tiered`, streams last.

    h, c [tiers, H, streams]; ring [2 · 2R, streams]; taps [order, streams]; recent [E, streams]; genre and wish
    [tiers + 1, D, streams]; sketched [2, streams]; sketches [n, 2, streams]; lpc [P, streams];
    error [2, streams]; uniforms and out [samples, streams].
    """
    count, order = tiers.shape[0], fixed.shape[0]
    length, S = ring.shape[0] // 4, ring.shape[1]
    bottom = count * TIER
    C = layout[bottom + LATEST][ROWS]
    outputs = layout[bottom + HEAD][ROWS]
    sketching = bright_at.shape[0] > 0
    drawn = 0
    copy, guesses = np.zeros(2 * taper.shape[0], np.float32), np.zeros(S, np.float32)
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
            if sketching and k == count - 1:
                b[:size] = window
                _measure(window, tiers[k, SAMPLES], gain, b[size : size + 2])
                window = b[: size + 2]
            if k < count - 1:
                part = now % tiers[k + 1, SAMPLES] // tiers[k, SAMPLES]
                speaker = layout[(k + 1) * TIER + SPEAK]
                _begin(biases, speaker, part, inputs, x)
                _add_product(weights, speaker, part, inputs, h[k + 1, : tiers[k + 1, HIDDEN]], x, spare)
            else:
                x[:inputs] = float32(0.0)
            _add_product(weights, rows[FRAME], 0, inputs, window, x, spare)
            _relu_sum(x, inputs, genre[k], wish[k])
            _begin(biases, rows[W_IH], 0, width, z)
            _add_product(weights, rows[W_IH], 0, width, x[:inputs], z, spare)
            _recur(cell, weights, biases, rows[W_HH], h[k, :units], c[k, :units], z, zh, spare)
            if sketching and k == count - 1:
                for q in range(2):
                    row = layout[bottom + LEVEL + q]
                    R = row[ROWS]
                    _begin(biases, row, 0, R, z)
                    _add_product(weights, row, 0, R, h[k, :units], z, spare)
                    for s in range(S):
                        for j in range(R):
                            column[j] = z[j, s] + (bright_at[sketched[0, s], j] if q == 1 else float32(0.0))
                        sketched[q, s] = draw_class(column[:R], sketches[drawn, q, s], temperature, 0, top_p)
                drawn += 1
                for layer in range(wish.shape[0]):
                    for j in range(wish.shape[1]):
                        for s in range(S):
                            wish[layer, j, s] = (
                                tell_level[layer, sketched[0, s], j] + tell_bright[layer, sketched[1, s], j]
                            )
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
                    for j in range(2 * taper.shape[0]):
                        copy[j] = ring[end - 2 * taper.shape[0] + j, s]
                    adapt_lpc(copy, taper, gain, lpc[:, s], seen, error[:, s])
            b[:size] = ring[end - size : end]
            for s in range(S):
                guess = float32(0.0)
                for j in range(lpc.shape[0]):
                    guess += float32(lpc[j, s]) * ring[end - 2 * (j + 1), s]
                guess = min(max(guess * gain, float32(-1.0)), float32(1.0))
                guesses[s] = guess
                b[size, s] = guess / gain
                b[size + 1, s] = math.copysign(math.log1p(255 * abs(guess)) / math.log(256.0), guess)
                b[size + 2, s] = error[0, s] / 5 + 1
            _add_product(weights, layout[bottom + LATEST], 0, C, b[: size + 3], a, spare)
        else:
            _add_product(weights, layout[bottom + LATEST], 0, C, ring[end - size : end], a, spare)
        for lag in range(tables.shape[0]):
            for s in range(S):
                for j in range(C):
                    a[j, s] += tables[lag, recent[lag, s], j]
        _relu_sum(a, C, genre[count], wish[count])
        for layer in range(bottom + LAYERS, layout.shape[0]):
            _begin(biases, layout[layer], 0, C, b)
            _add_product(weights, layout[layer], 0, C, a[:C], b, spare)
            for j in range(C):
                for s in range(S):
                    a[j, s] = max(b[j, s], float32(0.0))
        _begin(biases, layout[bottom + HEAD], 0, outputs, z)
        _add_product(weights, layout[bottom + HEAD], 0, outputs, a[:C], z, spare)
        at = place[0]
        for s in range(S):
            for j in range(outputs):
                column[j] = z[j, s]
            if mixture:
                K = outputs // 3
                centre = float32(0.0)
                for j in range(order):
                    centre += taps[j, s] * ring[end - 2 * (order - j), s]
                centre *= gain
                size_of_error = error[0, s]
                if sketching:
                    size_of_error += (LEVEL_LOW_DB + (sketched[0, s] + 0.5) * LEVEL_STEP_DB) * NEPERS - error[1, s]
                for k in range(K):
                    log_scale = column[2 * K + k] + (size_of_error if k >= own else 0.0)
                    log_scale = min(max(log_scale, -11.0), 1.0)
                    column[2 * K + k] = log_scale
                    column[K + k] = (guesses[s] if k >= own else centre) + column[K + k] * math.exp(log_scale)
                chosen = draw_mixture(column[:outputs], uniforms[t, s], temperature, top_p, edges, row_p)
            else:
                chosen = draw_class(column[:outputs], uniforms[t, s], temperature, top_k, top_p)
            out[t, s] = chosen
            for lag in range(recent.shape[0] - 1, 0, -1):
                recent[lag, s] = recent[lag - 1, s]
            if recent.shape[0] > 0:
                recent[0, s] = chosen
        for s in range(S):
            for j in range(2):
                ring[2 * at + j, s] = features[out[t, s], j]
                ring[2 * (at + length) + j, s] = features[out[t, s], j]
        place[0] = (at + 1) % length
        place[1] = now + 1
