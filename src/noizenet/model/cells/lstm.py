"""Long short-term memory (S. Hochreiter, J. Schmidhuber, Neural Computation 9(8), 1997; forget gate: F. Gers 2000).

i = σ(…), f = σ(…), g = tanh(…), o = σ(…), each of W_ih x + b_ih + W_hh h + b_hh;
c' = f ⊙ c + i ⊙ g; h' = o ⊙ tanh(c').
"""

from __future__ import annotations

from typing import Any

from noizenet.kernels.functions import compiled, sigmoid, tanh
from noizenet.model.cells.description import Cell, Parts


def _activations(x: Parts, h: Parts, ops: Any) -> tuple[Any, ...]:
    i, f, g, o = (a + b for a, b in zip(x, h, strict=True))
    return ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)


def _next_states(gates: Parts, states: Parts, ops: Any) -> tuple[Any, ...]:
    i, f, g, o = gates
    c = f * states[1] + i * g
    return o * ops.tanh(c), c


@compiled
def update_lstm(h: Any, c: Any, z: Any, zh: Any) -> None:
    """Update h and c; see :class:`~noizenet.model.cells.description.Cell`."""
    H = h.shape[0]
    for j in range(2 * H):
        z[j] = sigmoid(z[j])
    for j in range(2 * H, 3 * H):
        z[j] = tanh(z[j])
    for j in range(3 * H, 4 * H):
        z[j] = sigmoid(z[j])
    for j in range(H):
        c[j] = z[H + j] * c[j] + z[j] * z[2 * H + j]
        h[j] = z[3 * H + j] * tanh(c[j])


LSTM = Cell(
    gates=("i", "f", "g", "o"),
    states=("h", "c"),
    activations=_activations,
    next_states=_next_states,
    update=update_lstm,
    torch_kernel="LSTM",
    initial_biases={"f": 1.0},  # R. Jozefowicz et al., ICML 2015
    bf16=True,
)
"""Long short-term memory."""
