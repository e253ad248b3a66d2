"""Minimal gated recurrent unit: L. Feng et al., "Were RNNs all we needed?" (arXiv:2410.01201, 2024), equation 9.

z = σ(W_z x + b_z), n = W_h x + b_h; h' = (1 - z) ⊙ h + z ⊙ n. The gates depend only on the input, so that training runs
over a whole sequence in parallel.
"""

from __future__ import annotations

from typing import Any

from numba import float32

from noizenet.kernels.functions import compiled, sigmoid
from noizenet.model.cells.description import Cell, Parts, linear_recurrence


def _activations(x: Parts, h: Parts, ops: Any) -> tuple[Any, ...]:
    return ops.sigmoid(x[0]), x[1]


def _next_states(gates: Parts, states: Parts, ops: Any) -> tuple[Any, ...]:
    z, n = gates
    return ((1 - z) * states[0] + z * n,)


def _sequence(x: Parts, states: Parts, ops: Any) -> tuple[Any, tuple[Any, ...]]:
    z, n = _activations(x, (), ops)
    y = linear_recurrence(1 - z, z * n, states[0], ops)
    return y, (y[:, -1],)


@compiled
def update_mingru(h: Any, c: Any, z: Any, zh: Any) -> None:
    """Update h; see :class:`~noizenet.model.cells.description.Cell`."""
    H = h.shape[0]
    for j in range(H):
        u = sigmoid(z[j])
        h[j] = (float32(1.0) - u) * h[j] + u * z[H + j]


MINGRU = Cell(
    gates=("z", "n"),
    activations=_activations,
    next_states=_next_states,
    update=update_mingru,
    recurrent=False,
    sequence=_sequence,
)
"""Minimal gated recurrent unit."""
