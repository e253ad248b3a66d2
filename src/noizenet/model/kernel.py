"""The compiled inner loop: one stream, one thread, no allocation and no Python per frame.

All weights lie in one flat float32 array in the order in which they are read. A matrix is read row by row
(torch's own layout): its bytes are what a step costs, and rows stream from cache at full width.

Fast-math lets the compiler reorder sums; against torch the outputs agree to about 1e-5 (tests/test_stepper.py).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import float32

RNN, LSTM, GRU = 0, 1, 2
CELL_NUMBERS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}

# Columns of the layout table, one row a layer: offsets into the flat array.
W_IH, W_HH, B_IH, B_HH, INPUTS = range(5)


@numba.njit(cache=True, fastmath=True, inline="always")
def _tanh(x: Any) -> Any:
    """Rational minimax approximation of tanh in float32, error < 1e-6 (the coefficients are Eigen's, MPL 2)."""
    limit = float32(7.90531110763549805)
    x = min(max(x, -limit), limit)
    s = x * x
    p = float32(-2.76076847742355e-16)
    p = p * s + float32(2.00018790482477e-13)
    p = p * s + float32(-8.60467152213735e-11)
    p = p * s + float32(5.12229709037114e-08)
    p = p * s + float32(1.48572235717979e-05)
    p = p * s + float32(6.37261928875436e-04)
    p = p * s + float32(4.89352455891786e-03)
    q = float32(1.19825839466702e-06)
    q = q * s + float32(1.18534705686654e-04)
    q = q * s + float32(2.26843463243900e-03)
    q = q * s + float32(4.89352518554385e-03)
    return x * p / q


@numba.njit(cache=True, fastmath=True, inline="always")
def _sigmoid(x: Any) -> Any:
    return float32(0.5) * _tanh(float32(0.5) * x) + float32(0.5)


@numba.njit(cache=True, fastmath=True, inline="always")
def _exp(x: Any) -> Any:
    """exp(x) for x ≤ 0 as (series of exp(x / 64))^64: only multiplications, so that it vectorises.

    Relative error < 1e-5; below -60 it stays at exp(-60).
    """
    y = max(x, float32(-60.0)) * float32(1.0 / 64.0)
    s = float32(1.0 / 362880.0)
    s = s * y + float32(1.0 / 40320.0)
    s = s * y + float32(1.0 / 5040.0)
    s = s * y + float32(1.0 / 720.0)
    s = s * y + float32(1.0 / 120.0)
    s = s * y + float32(1.0 / 24.0)
    s = s * y + float32(1.0 / 6.0)
    s = s * y + float32(0.5)
    s = s * y + float32(1.0)
    s = s * y + float32(1.0)
    s = s * s
    s = s * s
    s = s * s
    s = s * s
    s = s * s
    return s * s


@numba.njit(cache=True, fastmath=True)
def _add_product(weights: Any, offset: Any, rows: Any, columns: Any, x: Any, y: Any) -> None:
    """Add W x to y; W [rows, columns] begins at `offset`."""
    # A view, not an index computed from `offset`: numba must know that no index is negative, or the loop is
    # not vectorised (10 times slower).
    matrix = weights[offset : offset + rows * columns].reshape(rows, columns)
    for j in range(rows):
        total = float32(0.0)
        for k in range(columns):
            total += matrix[j, k] * x[k]
        y[j] += total


@numba.njit(cache=True, fastmath=True)
def _recur(cell: Any, weights: Any, layout: Any, h: Any, c: Any, z: Any, zh: Any) -> None:
    """Finish one layer's step. On entry z holds the input's part; h and c are updated in place."""
    H = h.shape[0]
    if cell == GRU:
        for j in range(3 * H):
            zh[j] = weights[layout[B_HH] + j]
        _add_product(weights, layout[W_HH], 3 * H, H, h, zh)
        for j in range(H):
            r = _sigmoid(z[j] + zh[j])
            u = _sigmoid(z[H + j] + zh[H + j])
            n = _tanh(z[2 * H + j] + r * zh[2 * H + j])
            h[j] = (float32(1.0) - u) * n + u * h[j]
    elif cell == LSTM:
        _add_product(weights, layout[W_HH], 4 * H, H, h, z)
        for j in range(2 * H):
            z[j] = _sigmoid(z[j])
        for j in range(2 * H, 3 * H):
            z[j] = _tanh(z[j])
        for j in range(3 * H, 4 * H):
            z[j] = _sigmoid(z[j])
        for j in range(H):
            c[j] = z[H + j] * c[j] + z[j] * z[2 * H + j]
            h[j] = z[3 * H + j] * _tanh(c[j])
    else:
        _add_product(weights, layout[W_HH], H, H, h, z)
        for j in range(H):
            h[j] = _tanh(z[j])


@numba.njit(cache=True, fastmath=True)
def _upper_layers(cell: Any, weights: Any, layout: Any, h: Any, c: Any, z: Any, zh: Any, gates: Any) -> None:
    """Run the bottom layer's recurrence (its input is in z), then every layer above it."""
    H = h.shape[1]
    _recur(cell, weights, layout[0], h[0], c[0], z, zh)
    for layer in range(1, h.shape[0]):
        for j in range(gates * H):
            z[j] = weights[layout[layer, B_IH] + j]
        _add_product(weights, layout[layer, W_IH], gates * H, H, h[layer - 1], z)
        _recur(cell, weights, layout[layer], h[layer], c[layer], z, zh)


@numba.njit(cache=True, fastmath=True)
def _cut(p: Any, target: Any, count: Any) -> None:
    """Zero the small entries of p.

    Kept is the least set of largest ones that sums to `target` (count = 0), or the `count` largest. The threshold
    is found by bisection: no sorting, no allocation.
    """
    low, high = float32(0.0), float32(0.0)
    for j in range(p.shape[0]):
        high = max(high, p[j])
    high = high * float32(1.000001)
    for _ in range(40):
        middle = float32(0.5) * (low + high)
        total, number = 0.0, 0
        for j in range(p.shape[0]):
            if p[j] >= middle:
                total += p[j]
                number += 1
        enough = number >= count if count > 0 else total >= target
        if enough:
            low = middle
        else:
            high = middle
    for j in range(p.shape[0]):
        if p[j] < low:
            p[j] = float32(0.0)


@numba.njit(cache=True, fastmath=True)
def _draw(p: Any, uniform: Any, temperature: Any, top_k: Any, top_p: Any) -> Any:
    """Draw a class from logits p (overwritten)."""
    V = p.shape[0]
    peak = p[0]
    for j in range(1, V):
        peak = max(peak, p[j])
    best = 0
    while best < V - 1 and p[best] != peak:
        best += 1
    if temperature == 0.0:
        return best
    scale = float32(1.0 / temperature)
    for j in range(V):
        p[j] = _exp((p[j] - peak) * scale)
    if 0 < top_k < V:
        _cut(p, 0.0, top_k)
    total = float32(0.0)
    for j in range(V):
        total += p[j]
    if top_p < 1.0:
        _cut(p, top_p * total, 0)
        total = float32(0.0)
        for j in range(V):
            total += p[j]
    # Find the eighth of the classes first, then the class: sums of eighths vectorise, a running sum does not.
    want, reached = float32(uniform) * total, float32(0.0)
    first, width = 0, (V + 7) // 8
    while first + width < V:
        part = float32(0.0)
        for j in range(first, first + width):
            part += p[j]
        if reached + part > want:
            break
        reached += part
        first += width
    last = best
    for j in range(first, V):
        if p[j] > 0.0:
            reached += p[j]
            last = j
            if reached > want:
                return j
    return last


@numba.njit(cache=True, fastmath=True)
def run_classes(
    cell: Any, gates: Any, weights: Any, layout: Any, table: Any, genre: Any, head: Any, bias: Any,
    h: Any, c: Any, current: Any, forced: Any, uniforms: Any, jumps: Any,
    temperature: Any, top_k: Any, top_p: Any, z: Any, zh: Any, logits: Any, out: Any, record: Any,
) -> None:  # fmt: skip
    """Run ``len(out)`` steps over classes.

    table [V, G·H] is each class's input part of the bottom layer, genre [G·H] the genre's. `forced` holds the
    frames to follow, or is empty to sample. `jumps` are added to the drawn class. `record` [n, V] takes the
    logits, or is empty.
    """
    V, top = table.shape[0], h.shape[0] - 1
    H = h.shape[1]
    for t in range(out.shape[0]):
        row = current[0]
        for j in range(gates * H):
            z[j] = table[row, j] + genre[j]
        _upper_layers(cell, weights, layout, h, c, z, zh, gates)
        for j in range(V):
            logits[j] = bias[j]
        _add_product(weights, head, V, H, h[top], logits)
        if record.shape[0] > 0:
            for j in range(V):
                record[t, j] = logits[j]
        chosen = forced[t] if forced.shape[0] > 0 else _draw(logits, uniforms[t], temperature, top_k, top_p)
        if jumps.shape[0] > 0:
            chosen = min(max(chosen + jumps[t], 0), V - 1)
        out[t] = chosen
        current[0] = chosen


@numba.njit(cache=True, fastmath=True)
def run_vectors(
    cell: Any, gates: Any, weights: Any, layout: Any, genre: Any, head: Any, bias: Any,
    h: Any, c: Any, current: Any, forced: Any, jumps: Any, z: Any, zh: Any, out: Any, record: Any,
) -> None:  # fmt: skip
    """Run ``len(out)`` steps over vectors [D]; the prediction is fed back (or `forced` is followed)."""
    D, top = out.shape[1], h.shape[0] - 1
    H = h.shape[1]
    prediction = np.empty(D, np.float32)
    for t in range(out.shape[0]):
        for j in range(gates * H):
            z[j] = genre[j]
        _add_product(weights, layout[0, W_IH], gates * H, D, current, z)
        _upper_layers(cell, weights, layout, h, c, z, zh, gates)
        for j in range(D):
            prediction[j] = bias[j]
        _add_product(weights, head, D, H, h[top], prediction)
        for j in range(D):
            if record.shape[0] > 0:
                record[t, j] = prediction[j]
            value = forced[t, j] if forced.shape[0] > 0 else prediction[j]
            if jumps.shape[0] > 0:
                value += jumps[t, j]
            out[t, j] = value
            current[j] = value
