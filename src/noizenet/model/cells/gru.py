"""Gated recurrent unit (K. Cho et al., EMNLP 2014), in the form of cuDNN and torch.

r = σ(…), z = σ(…), n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)); h' = (1 - z) ⊙ n + z ⊙ h.
"""

from __future__ import annotations

from typing import Any

from numba import float32

from noizenet.kernels.functions import compiled, sigmoid, tanh
from noizenet.model.cells.description import Cell, Parts


def _activations(x: Parts, h: Parts, ops: Any) -> tuple[Any, ...]:
    r = ops.sigmoid(x[0] + h[0])
    return r, ops.sigmoid(x[1] + h[1]), ops.tanh(x[2] + r * h[2])


def _next_states(gates: Parts, states: Parts, ops: Any) -> tuple[Any, ...]:
    _, z, n = gates
    return ((1 - z) * n + z * states[0],)


@compiled
def update_gru(h: Any, c: Any, z: Any, zh: Any) -> None:
    """Update h; see :class:`~noizenet.model.cells.description.Cell`."""
    H = h.shape[0]
    for j in range(H):
        r = sigmoid(z[j] + zh[j])
        u = sigmoid(z[H + j] + zh[H + j])
        n = tanh(z[2 * H + j] + r * zh[2 * H + j])
        h[j] = (float32(1.0) - u) * n + u * h[j]


GRU = Cell(
    gates=("r", "z", "n"),
    activations=_activations,
    next_states=_next_states,
    update=update_gru,
    separate=True,
    torch_kernel="GRU",
)
"""Gated recurrent unit."""
