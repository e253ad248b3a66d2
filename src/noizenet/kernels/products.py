"""Matrix products for one vector or a few, from weights of 32, 16 or 8 bits.

Weights are stored in flat arrays in the order in which they are read. Tall blocks are stored column by column: each sum
stays in one vector lane, while a row-by-row product has to add across lanes, which costs more than reading a row of
128. Besides float32 a matrix can be stored as bfloat16 (the upper half of a float32, as uint16) or as int8 with one
scale per row; it is converted to float32 when it is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from noizenet.kernels.functions import compiled, compiled_as_written
from noizenet.kernels.panel import FLOAT, TILE, add_to_one, add_to_two, cgutils, widened

TALL = TILE
"""Minimum rows of a block that is stored column by column, in tiles of 64 rows."""
VECTOR_BLOCK = 16
"""Vectors that share one pass over the weights."""

# Columns of a layout row: offsets of a matrix's weights, row scales and biases, then the matrix's shape.
W, S, B, ROWS, COLUMNS = range(5)


def _widening(_typing: Any, weight: Any) -> Any:
    """Convert one stored weight to float32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return widened(builder, arguments[0], weight)

    return types.float32(weight), generate


_widen: Any = intrinsic(_widening)


def _fusing(_typing: Any, weight: Any, x: Any, total: Any) -> Any:
    """Add the product of a stored weight and a number to a sum, with one rounding (fused multiply-add)."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(FLOAT, [FLOAT] * 3), "llvm.fma.f32")
        return builder.call(fma, [widened(builder, arguments[0], weight), arguments[1], arguments[2]])

    return types.float32(weight, types.float32, types.float32), generate


_fma: Any = intrinsic(_fusing)


@compiled
def add_product(weights: Any, scales: Any, row: Any, part: Any, rows: Any, x: Any, y: Any) -> None:
    """Add W x to y, where W [rows, columns] is the `part`-th block of `rows` rows of a matrix."""
    columns = row[COLUMNS]
    first = row[W] + part * rows * columns
    # Views instead of computed offsets: numba must know that no index is negative, or it does not vectorise the loops
    # (10 times slower).
    block = weights[first : first + rows * columns]
    scale = scales[row[S] + part * rows : row[S] + (part + 1) * rows]
    if rows < TALL:
        _add_rows(block.reshape(rows, columns), scale, x, y)
        return
    whole = rows // TILE * TILE
    for j in range(0, whole, TILE):
        add_to_one(block, j * columns, columns, scale, j, (x,), (y,))
    if whole < rows:
        rest = block[whole * columns :].reshape(columns, rows - whole)
        _add_columns(rest, scale[whole:], x, y[whole:rows])


@compiled_as_written
def _add_columns(matrix: Any, scale: Any, x: Any, y: Any) -> None:
    """Add W x to y for W stored column by column; eight columns at a time share one load and store of y."""
    columns, rows = matrix.shape
    unrolled = columns // 8 * 8
    for k in range(0, unrolled, 8):
        x0, x1, x2, x3, x4, x5, x6, x7 = x[k], x[k + 1], x[k + 2], x[k + 3], x[k + 4], x[k + 5], x[k + 6], x[k + 7]
        m0, m1, m2, m3 = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
        m4, m5, m6, m7 = matrix[k + 4], matrix[k + 5], matrix[k + 6], matrix[k + 7]
        for j in range(rows):
            total = _fma(m1[j], x1, _fma(m0[j], x0, float32(0.0)))
            total = _fma(m3[j], x3, _fma(m2[j], x2, total))
            total = _fma(m5[j], x5, _fma(m4[j], x4, total))
            total = _fma(m7[j], x7, _fma(m6[j], x6, total))
            y[j] = _fma(total, scale[j], y[j]) if matrix.itemsize == 1 else y[j] + total
    for k in range(unrolled, columns):
        column, x0 = matrix[k], x[k]
        for j in range(rows):
            y[j] = _fma(column[j], x0 * scale[j], y[j]) if matrix.itemsize == 1 else _fma(column[j], x0, y[j])


@compiled
def _add_rows(matrix: Any, scale: Any, x: Any, y: Any) -> None:
    """Add W x to y for W stored row by row; four rows at a time, so that their reductions overlap."""
    rows, columns = matrix.shape
    unrolled = rows // 4 * 4
    for j in range(0, unrolled, 4):
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
    for j in range(unrolled, rows):
        total = float32(0.0)
        for k in range(columns):
            total += _widen(matrix[j, k]) * x[k]
        y[j] += total * scale[j]


@compiled
def add_products(weights: Any, scales: Any, row: Any, rows: Any, x: Any, y: Any) -> None:
    """Add W x to y for each of n vectors, x [n, columns] and y [n, ≥ rows].

    Each result equals that of :func:`add_product`, whatever the other vectors are, but the weights are read once.
    """
    if rows < TALL:
        for s in range(x.shape[0]):
            add_product(weights, scales, row, 0, rows, x[s], y[s])
        return
    columns = row[COLUMNS]
    block = weights[row[W] : row[W] + rows * columns]
    scale = scales[row[S] : row[S] + rows]
    whole, n = rows // TILE * TILE, x.shape[0]
    for first in range(0, n, VECTOR_BLOCK):
        last = min(first + VECTOR_BLOCK, n)
        pairs = first + (last - first) // 2 * 2
        for j in range(0, whole, TILE):
            for s in range(first, pairs, 2):
                add_to_two(block, j * columns, columns, scale, j, (x[s], x[s + 1]), (y[s], y[s + 1]))
            if pairs < last:
                add_to_one(block, j * columns, columns, scale, j, (x[pairs],), (y[pairs],))
        if whole < rows:
            rest = block[whole * columns :].reshape(columns, rows - whole)
            for s in range(first, last):
                _add_columns(rest, scale[whole:], x[s], y[s][whole:rows])


@compiled
def begin(biases: Any, row: Any, part: Any, rows: Any, y: Any) -> None:
    """Set y to a matrix's biases (those of its `part`-th block of rows)."""
    bias = biases[row[B] + part * rows : row[B] + (part + 1) * rows]
    for j in range(rows):
        y[j] = bias[j]


@compiled
def begin_all(biases: Any, row: Any, y: Any) -> None:
    """Set each row of y [n, rows] to a matrix's biases."""
    for i in range(y.shape[0]):
        begin(biases, row, 0, y.shape[1], y[i])


class Pack:
    """Collects matrices and biases and stores them in flat arrays."""

    def __init__(self, precision: str) -> None:
        self._precision = precision
        self._weights: list[NDArray[Any]] = []
        self._scales: list[NDArray[np.float32]] = []
        self._biases: list[NDArray[np.float32]] = []
        self._at = [0, 0, 0]

    def add(self, matrix: NDArray[np.float32], bias: NDArray[np.float32] | None = None, parts: int = 1) -> list[int]:
        """Add a matrix [rows, columns], used in `parts` blocks of rows, and its biases; return its layout row."""
        rows, columns = matrix.shape
        layout_row = [*self._at, rows, columns]
        weights, scales = reduce_precision(matrix, self._precision)
        self._weights.extend(in_read_order(weights, parts))
        self._scales.append(scales)
        self._biases.append(np.zeros(rows, np.float32) if bias is None else np.asarray(bias, np.float32))
        self._at = [self._at[0] + matrix.size, self._at[1] + rows, self._at[2] + rows]
        return layout_row

    def arrays(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Return weights, row scales and biases."""
        return np.concatenate(self._weights), np.concatenate(self._scales), np.concatenate(self._biases)


def in_read_order(matrix: NDArray[Any], parts: int) -> list[NDArray[Any]]:
    """Return the blocks of a matrix [rows, columns] in the order in which :func:`add_product` reads them, each flat."""
    rows = len(matrix) // parts
    if rows < TALL:
        return [matrix.reshape(-1)]
    blocks = [matrix[i * rows : (i + 1) * rows] for i in range(parts)]
    return [block[j : j + TILE].T.reshape(-1) for block in blocks for j in range(0, rows, TILE)]


def reduce_precision(matrix: NDArray[np.float32], precision: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return a matrix in the stored precision, and the scale of each row.

    Examples
    --------
    >>> stored, scales = reduce_precision(np.array([[1.0, -0.5]], np.float32), "int8")
    >>> stored.tolist(), round(float(scales[0]) * 127, 3)
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
