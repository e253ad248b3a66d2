"""Elman's cell: h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (J. Elman, Cognitive Science 14, 1990)."""

from __future__ import annotations

from typing import Any

from noizenet.kernels.functions import compiled, tanh
from noizenet.model.cells.description import Cell, Parts


def _activations(x: Parts, h: Parts, ops: Any) -> tuple[Any, ...]:
    return (ops.tanh(x[0] + h[0]),)


def _next_states(gates: Parts, states: Parts, ops: Any) -> tuple[Any, ...]:
    return (gates[0],)


@compiled
def update_rnn(h: Any, c: Any, z: Any, zh: Any) -> None:
    """Update h; see :class:`~noizenet.model.cells.description.Cell`."""
    for j in range(h.shape[0]):
        h[j] = tanh(z[j])


RNN = Cell(gates=("n",), activations=_activations, next_states=_next_states, update=update_rnn, torch_kernel="RNN")
"""Elman's cell."""
