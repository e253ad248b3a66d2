"""What the compiled loops are made of: no allocation, no Python, float32 arithmetic.

Weights lie in flat arrays in the order in which they are read. Tall blocks lie column by column: sums then stay in
vector lanes, where a row's would have to be added across them, which costs more than reading a row of 128. Besides
float32 a matrix may be kept as bfloat16 (the upper half of a float32, as uint16) or as int8 with one scale a row; it is
widened on the fly.

Fast-math lets the compiler reorder sums; against torch the outputs agree to about 1e-5 (tests/test_stepper.py).
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import float32, types
from numba.extending import intrinsic
from numpy.typing import NDArray

RNN, LSTM, GRU = 0, 1, 2
CELL_NUMBERS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
SURPRISE_EVERY = 16
"""The drawn sample's probability is looked up once in so many samples: enough for a watch, and nearly free."""

compiled = numba.njit(cache=True, fastmath=True, nogil=True, error_model="numpy")
"""How every loop is compiled. Python's error model would check each divisor for zero, and keep scalar what divides."""

TALL, TILE = 64, 512
"""Rows from which on a block is kept column by column, in tiles of so many rows."""

# Columns of a layout row: offsets of a matrix's weights, row scales and biases, then its shape.
W, S, B, ROWS, COLUMNS = range(5)


def _of_bfloat16(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    wide = builder.zext(arguments[0], ir.IntType(32))
    return builder.bitcast(builder.shl(wide, ir.Constant(ir.IntType(32), 16)), ir.FloatType())


def _of_int8(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    return builder.sitofp(arguments[0], ir.FloatType())


def _as_it_is(_context: Any, _builder: Any, _signature: Any, arguments: Any) -> Any:
    return arguments[0]


def _widening(_typing: Any, weight: Any) -> Any:
    """Turn one stored weight into float32; bfloat16 (kept as uint16) is the upper half of a float32."""
    code = {types.uint16: _of_bfloat16, types.int8: _of_int8}.get(weight, _as_it_is)
    return types.float32(weight), code


_widen: Any = intrinsic(_widening)


@numba.njit(cache=True, fastmath=True, nogil=True, error_model="numpy", inline="always")
def tanh(x: Any) -> Any:
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


@numba.njit(cache=True, fastmath=True, nogil=True, error_model="numpy", inline="always")
def sigmoid(x: Any) -> Any:
    """Return the logistic function, by way of :func:`tanh`."""
    return float32(0.5) * tanh(float32(0.5) * x) + float32(0.5)


@numba.njit(cache=True, fastmath=True, nogil=True, error_model="numpy", inline="always")
def exp(x: Any) -> Any:
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


@compiled
def add_product(weights: Any, scales: Any, row: Any, part: Any, rows: Any, x: Any, y: Any) -> None:
    """Add W x to y, where W [rows, columns] is the `part`-th block of `rows` rows of a matrix."""
    columns = row[COLUMNS]
    first = row[W] + part * rows * columns
    # Views, not indices computed from an offset: numba must know that no index is negative, or the loops are not
    # vectorised (10 times slower).
    block = weights[first : first + rows * columns]
    scale = scales[row[S] + part * rows : row[S] + (part + 1) * rows]
    if rows >= TALL:
        for j in range(0, rows, TILE):
            end = min(j + TILE, rows)
            tile = block[j * columns : end * columns].reshape(columns, end - j)
            _add_columns(tile, scale[j:end], x, y[j:end])
    else:
        _add_rows(block.reshape(rows, columns), scale, x, y)


@compiled
def _add_columns(matrix: Any, scale: Any, x: Any, y: Any) -> None:
    """Add a matrix that lies column by column: eight at a time, so that y is loaded and stored once for them."""
    columns, rows = matrix.shape
    done = columns // 8 * 8
    for k in range(0, done, 8):
        x0, x1, x2, x3, x4, x5, x6, x7 = x[k], x[k + 1], x[k + 2], x[k + 3], x[k + 4], x[k + 5], x[k + 6], x[k + 7]
        m0, m1, m2, m3 = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
        m4, m5, m6, m7 = matrix[k + 4], matrix[k + 5], matrix[k + 6], matrix[k + 7]
        for j in range(rows):
            total = _widen(m0[j]) * x0 + _widen(m1[j]) * x1 + _widen(m2[j]) * x2 + _widen(m3[j]) * x3
            total += _widen(m4[j]) * x4 + _widen(m5[j]) * x5 + _widen(m6[j]) * x6 + _widen(m7[j]) * x7
            y[j] += total * scale[j] if matrix.itemsize == 1 else total
    for k in range(done, columns):
        column, x0 = matrix[k], x[k]
        for j in range(rows):
            y[j] += _widen(column[j]) * x0 * scale[j]


@compiled
def _add_rows(matrix: Any, scale: Any, x: Any, y: Any) -> None:
    """Add a matrix that lies row by row: four rows at a time, so that their sums' ends overlap."""
    rows, columns = matrix.shape
    done = rows // 4 * 4
    for j in range(0, done, 4):
        a, b, c, d = float32(0.0), float32(0.0), float32(0.0), float32(0.0)
        for k in range(columns):
            v = x[k]
            a += _widen(matrix[j, k]) * v
            b += _widen(matrix[j + 1, k]) * v
            c += _widen(matrix[j + 2, k]) * v
            d += _widen(matrix[j + 3, k]) * v
        y[j] += a * scale[j]
        y[j + 1] += b * scale[j + 1]
        y[j + 2] += c * scale[j + 2]
        y[j + 3] += d * scale[j + 3]
    for j in range(done, rows):
        total = float32(0.0)
        for k in range(columns):
            total += _widen(matrix[j, k]) * x[k]
        y[j] += total * scale[j]


@compiled
def begin(biases: Any, row: Any, part: Any, rows: Any, y: Any) -> None:
    """Set y to a matrix's biases (those of its `part`-th block of rows)."""
    bias = biases[row[B] + part * rows : row[B] + (part + 1) * rows]
    for j in range(rows):
        y[j] = bias[j]


@compiled
def recur(cell: Any, weights: Any, scales: Any, biases: Any, row: Any, h: Any, c: Any, z: Any, zh: Any) -> None:
    """Finish one cell's step with its recurrent matrix. On entry z holds the input's part; h and c are updated."""
    H = h.shape[0]
    if cell == GRU:
        begin(biases, row, 0, 3 * H, zh)
        add_product(weights, scales, row, 0, 3 * H, h, zh)
        for j in range(H):
            r = sigmoid(z[j] + zh[j])
            u = sigmoid(z[H + j] + zh[H + j])
            n = tanh(z[2 * H + j] + r * zh[2 * H + j])
            h[j] = (float32(1.0) - u) * n + u * h[j]
    elif cell == LSTM:
        add_product(weights, scales, row, 0, 4 * H, h, z)
        for j in range(2 * H):
            z[j] = sigmoid(z[j])
        for j in range(2 * H, 3 * H):
            z[j] = tanh(z[j])
        for j in range(3 * H, 4 * H):
            z[j] = sigmoid(z[j])
        for j in range(H):
            c[j] = z[H + j] * c[j] + z[j] * z[2 * H + j]
            h[j] = z[3 * H + j] * tanh(c[j])
    else:
        add_product(weights, scales, row, 0, H, h, z)
        for j in range(H):
            h[j] = tanh(z[j])


@compiled
def cut(p: Any, target: Any, count: Any) -> None:
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


@compiled
def draw_class(p: Any, uniform: Any, temperature: Any, top_k: Any, top_p: Any) -> Any:
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
        p[j] = exp((p[j] - peak) * scale)
    if 0 < top_k < V:
        cut(p, 0.0, top_k)
    total = float32(0.0)
    for j in range(V):
        total += p[j]
    if top_p < 1.0:
        cut(p, top_p * total, 0)
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


@compiled
def surprise_of_class(logits: Any, chosen: Any) -> Any:
    """Return -log P of a class under logits, in nats."""
    peak = logits[0]
    for j in range(1, logits.shape[0]):
        peak = max(peak, logits[j])
    total = float32(0.0)
    for j in range(logits.shape[0]):
        total += exp(logits[j] - peak)
    return math.log(total) + peak - logits[chosen]


class Pack:
    """Collects matrices and biases, and lays them out flat."""

    def __init__(self, precision: str) -> None:
        self._precision = precision
        self._weights: list[NDArray[Any]] = []
        self._scales: list[NDArray[np.float32]] = []
        self._biases: list[NDArray[np.float32]] = []
        self._at = [0, 0, 0]

    def add(self, matrix: NDArray[np.float32], bias: NDArray[np.float32] | None = None, parts: int = 1) -> list[int]:
        """Take a matrix [rows, columns] that is used in so many parts, and its biases; return its layout row."""
        rows, columns = matrix.shape
        place = [*self._at, rows, columns]
        weights, scales = reduce_precision(matrix, self._precision)
        self._weights.extend(in_order(weights, parts))
        self._scales.append(scales)
        self._biases.append(np.zeros(rows, np.float32) if bias is None else np.asarray(bias, np.float32))
        self._at = [self._at[0] + matrix.size, self._at[1] + rows, self._at[2] + rows]
        return place

    def arrays(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Return weights, row scales and biases."""
        return np.concatenate(self._weights), np.concatenate(self._scales), np.concatenate(self._biases)


def in_order(matrix: NDArray[Any], parts: int) -> list[NDArray[Any]]:
    """Return the pieces of a matrix [rows, columns] as :func:`add_product` reads them, each flat."""
    rows = len(matrix) // parts
    if rows < TALL:
        return [matrix.reshape(-1)]
    blocks = [matrix[i * rows : (i + 1) * rows] for i in range(parts)]
    return [block[j : j + TILE].T.reshape(-1) for block in blocks for j in range(0, rows, TILE)]


def reduce_precision(matrix: NDArray[np.float32], precision: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return a matrix as it is kept, and the scale of each row.

    Examples
    --------
    >>> kept, scales = reduce_precision(np.array([[1.0, -0.5]], np.float32), "int8")
    >>> kept.tolist(), round(float(scales[0]) * 127, 3)
    ([[127, -64]], 1.0)
    """
    ones = np.ones(len(matrix), np.float32)
    if precision == "bf16":
        bits = np.ascontiguousarray(matrix, np.float32).view(np.uint32)
        nearest = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))  # ties to even
        return (nearest >> np.uint32(16)).astype(np.uint16), ones
    if precision == "int8":
        peaks = np.maximum(np.abs(matrix).max(1), np.float32(1e-12))
        return np.rint(matrix / peaks[:, None] * 127).astype(np.int8), (peaks / 127).astype(np.float32)
    return np.ascontiguousarray(matrix, np.float32), ones
