"""Compiled functions that the networks' loops share: a cell's step, drawing a class, and its NLL."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
from numba import float32

from noizenet.kernels.functions import compiled, exp
from noizenet.kernels.products import ROWS, add_product, begin
from noizenet.model import CELLS
from noizenet.model.cells.description import Cell

NLL_EVERY = 16
"""The NLL is computed once in this number of samples: enough for monitoring, at almost no cost."""


class Packed(NamedTuple):
    """Matrices and biases as :class:`noizenet.kernels.products.Pack` stores them, and the layout row of each matrix."""

    weights: Any
    scales: Any
    biases: Any
    layout: Any


class Draws(NamedTuple):
    """What the frames of a run come from.

    `forced` holds the classes (or vectors) of teacher forcing, or is empty to sample. `uniforms` are the random numbers
    that draw. `noise` is injected into the chosen classes, or is empty.
    """

    forced: Any
    uniforms: Any
    noise: Any


class SamplingNumbers(NamedTuple):
    """Settings of :class:`~noizenet.model.sampling.Sampling` for one class per frame."""

    temperature: float
    top_k: int
    top_p: float


class Outputs(NamedTuple):
    """What a run writes.

    `nll_sum` accumulates nats and the number of their terms; `out` receives the frames; `record` the logits, or is
    empty.
    """

    nll_sum: Any
    out: Any
    record: Any


class CellKind(NamedTuple):
    """What a compiled loop knows of a cell: its place in CELLS, and facts of its description."""

    number: int
    gates: int
    separate: bool
    recurrent: bool


def cell_kind(name: str) -> CellKind:
    """Return the kind of a registered cell.

    Raises
    ------
    UsageError
        If there is no such cell.
    """
    cell: Cell = CELLS.load(name)
    return CellKind(list(CELLS).index(name), len(cell.gates), cell.separate, cell.recurrent)


def _dispatch() -> Any:
    """Return one compiled function that calls the update of the cell with a given number."""

    @numba.njit(nogil=True)
    def none(number: Any, h: Any, c: Any, z: Any, zh: Any) -> None:
        raise ValueError("no such cell")

    update = none
    for number, name in reversed(list(enumerate(CELLS))):
        update = _either(number, CELLS.load(name).update, update)
    return update


def _either(this: int, update: Any, otherwise: Any) -> Any:
    @numba.njit(fastmath=True, nogil=True, error_model="numpy")
    def either(number: Any, h: Any, c: Any, z: Any, zh: Any) -> None:
        if number == this:
            update(h, c, z, zh)
        else:
            otherwise(number, h, c, z, zh)

    return either


_update_cell = _dispatch()


@compiled
def recur(cell: Any, packed: Any, row: Any, h: Any, c: Any, z: Any, zh: Any) -> None:
    """Finish a cell's step: add the recurrent product to the input part in z, and update h and c."""
    rows = row[ROWS]
    if cell.separate:
        begin(packed.biases, row, 0, rows, zh)
        add_product(packed.weights, packed.scales, row, 0, rows, h, zh)
    elif cell.recurrent:
        add_product(packed.weights, packed.scales, row, 0, rows, h, z)
    apply_gates(cell, h, c, z, zh)


@compiled
def apply_gates(cell: Any, h: Any, c: Any, z: Any, zh: Any) -> None:
    """Update h and c. z holds both parts of the gates; for a separate cell the input part, and zh the recurrent one."""
    _update_cell(cell.number, h, c, z, zh)


@compiled
def truncate(p: Any, target: Any, count: Any) -> None:
    """Zero the small entries of p.

    The smallest set of largest entries that sums to `target` is kept (count = 0), or the `count` largest. The threshold
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
        truncate(p, 0.0, top_k)
    total = float32(0.0)
    for j in range(V):
        total += p[j]
    if top_p < 1.0:
        truncate(p, top_p * total, 0)
        total = float32(0.0)
        for j in range(V):
            total += p[j]
    # Find the eighth of the classes first, then the class: a block's sum vectorises, a cumulative sum does not.
    threshold, cumulative = float32(uniform) * total, float32(0.0)
    first, width = 0, (V + 7) // 8
    while first + width < V:
        part = float32(0.0)
        for j in range(first, first + width):
            part += p[j]
        if cumulative + part > threshold:
            break
        cumulative += part
        first += width
    last = best
    for j in range(first, V):
        if p[j] > 0.0:
            cumulative += p[j]
            last = j
            if cumulative > threshold:
                return j
    return last


@compiled
def nll(logits: Any, chosen: Any) -> Any:
    """Return -log P of a class under logits, in nats."""
    peak = logits[0]
    for j in range(1, logits.shape[0]):
        peak = max(peak, logits[j])
    total = float32(0.0)
    for j in range(logits.shape[0]):
        total += exp(logits[j] - peak)
    return math.log(total) + peak - logits[chosen]
