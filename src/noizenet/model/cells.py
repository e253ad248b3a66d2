"""Recurrent cells: one step written out, and whole sequences through ``torch.nn``'s kernels.

Both use the same parameters; the contract tests check that they agree. The state is one tensor [S, B, H], S being 2 for
the LSTM (h and c), else 1. Letters: B batch, T time, I input size, H hidden size, G gates.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


class Cell(nn.Module):
    """One recurrent layer.

    Parameters
    ----------
    inputs, hidden : int
        I and H.
    """

    states: ClassVar[int] = 1
    kernel_class: ClassVar[type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]]

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.hidden = hidden
        self.kernel = self.kernel_class(inputs, hidden, batch_first=True)

    def zero_state(self, batch: int) -> Tensor:
        """Return the state of a sequence's start, zeros [S, B, H]."""
        return torch.zeros(self.states, batch, self.hidden, device=self.w_hh.device, dtype=self.w_hh.dtype)

    def gates(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        """Return every gate of one step by name, each [B, H], from x [B, I] and the previous state."""
        raise NotImplementedError

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step: x [B, I], state [S, B, H] → output [B, H], state."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take T steps at once: x [B, T, I], state [S, B, H] → outputs [B, T, H], state."""
        y, h = self.kernel(x, state.to(x.dtype))
        return y, h

    @property
    def w_ih(self) -> Tensor:
        """Input weights [G·H, I]; G gates stacked in torch's order."""
        return self._parameter("weight_ih_l0")

    @property
    def w_hh(self) -> Tensor:
        """Recurrent weights [G·H, H]."""
        return self._parameter("weight_hh_l0")

    @property
    def b_ih(self) -> Tensor:
        """Input biases [G·H]."""
        return self._parameter("bias_ih_l0")

    @property
    def b_hh(self) -> Tensor:
        """Recurrent biases [G·H]."""
        return self._parameter("bias_hh_l0")

    def _parameter(self, name: str) -> Tensor:
        value = getattr(self.kernel, name)
        assert isinstance(value, Tensor)
        return value


class RnnCell(Cell):
    """Elman's cell: h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (J. Elman, Cognitive Science 14, 1990)."""

    kernel_class = nn.RNN

    def gates(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        """Return the only activation, the new hidden state."""
        return {"h": torch.tanh(x @ self.w_ih.T + self.b_ih + state[0] @ self.w_hh.T + self.b_hh)}

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step."""
        h = self.gates(x, state)["h"]
        return h, h[None]


class LstmCell(Cell):
    """Long short-term memory (S. Hochreiter, J. Schmidhuber, Neural Computation 9(8), 1997; forget gate: F. Gers 2000).

    i = σ(…), f = σ(…), g = tanh(…), o = σ(…), each of W_ih x + b_ih + W_hh h + b_hh;
    c' = f ⊙ c + i ⊙ g; h' = o ⊙ tanh(c').
    """

    states = 2
    kernel_class = nn.LSTM

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        with torch.no_grad():  # forget bias 1: R. Jozefowicz et al., ICML 2015
            self.b_ih[hidden : 2 * hidden] += 1.0

    def gates(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        """Input gate i, forget gate f, candidate g, output gate o."""
        z = x @ self.w_ih.T + self.b_ih + state[0] @ self.w_hh.T + self.b_hh
        i, f, g, o = z.chunk(4, dim=-1)
        return {"i": torch.sigmoid(i), "f": torch.sigmoid(f), "g": torch.tanh(g), "o": torch.sigmoid(o)}

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step."""
        gate = self.gates(x, state)
        c = gate["f"] * state[1] + gate["i"] * gate["g"]
        h = gate["o"] * torch.tanh(c)
        return h, torch.stack([h, c])

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take T steps at once."""
        state = state.to(x.dtype)
        y, (h, c) = self.kernel(x, (state[:1].contiguous(), state[1:].contiguous()))
        return y, torch.cat([h, c])


class GruCell(Cell):
    """Gated recurrent unit (K. Cho et al., EMNLP 2014), in the form of cuDNN and torch.

    r = σ(…), z = σ(…), n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)); h' = (1 - z) ⊙ n + z ⊙ h.
    """

    kernel_class = nn.GRU

    def gates(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        """Reset gate r, update gate z, candidate n."""
        xr, xz, xn = (x @ self.w_ih.T + self.b_ih).chunk(3, dim=-1)
        hr, hz, hn = (state[0] @ self.w_hh.T + self.b_hh).chunk(3, dim=-1)
        r = torch.sigmoid(xr + hr)
        return {"r": r, "z": torch.sigmoid(xz + hz), "n": torch.tanh(xn + r * hn)}

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step."""
        gate = self.gates(x, state)
        h = (1 - gate["z"]) * gate["n"] + gate["z"] * state[0]
        return h, h[None]
