"""A recurrent layer in torch: one step and whole sequences of a registered cell, by the same parameters.

The contract tests check that they agree. Letters: B batch, T time, I input size, H hidden size, G gates, S states.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noizenet.model import CELLS
from noizenet.model.cells.description import Cell


class RecurrentLayer(nn.Module):
    """A layer of one cell. The state is one tensor [S, B, H].

    Parameters
    ----------
    cell : str
        Name in CELLS.
    inputs, hidden : int
        I and H.

    Raises
    ------
    UsageError
        If there is no such cell.
    """

    def __init__(self, cell: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell: Cell = CELLS.load(cell)
        self.inputs = inputs
        self.hidden = hidden
        kernel_class = getattr(nn, self.cell.torch_kernel) if self.cell.torch_kernel else None
        self.kernel: nn.Module = (
            kernel_class(inputs, hidden, batch_first=True) if kernel_class else _Parameters(self.cell, inputs, hidden)
        )
        with torch.no_grad():
            for gate, value in self.cell.initial_biases.items():
                first = self.cell.gates.index(gate) * hidden
                self.kernel.get_parameter("bias_ih_l0")[first : first + hidden] += value

    @property
    def states(self) -> int:
        """S."""
        return len(self.cell.states)

    def zero_state(self, batch: int) -> Tensor:
        """Return the state of a sequence's start, zeros [S, B, H]."""
        like = self.kernel.get_parameter("weight_ih_l0")
        return torch.zeros(self.states, batch, self.hidden, device=like.device, dtype=like.dtype)

    def gates(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        """Return every gate of one step by name, each [B, H], from x [B, I] and the previous state."""
        return dict(zip(self.cell.gates, self._activations(x, state), strict=True))

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step: x [B, I], state [S, B, H] → output [B, H], state."""
        new = self.cell.next_states(self._activations(x, state), tuple(state), torch)
        return new[0], torch.stack(new)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take T steps at once: x [B, T, I], state [S, B, H] → outputs [B, T, H], state."""
        if self.cell.torch_kernel:
            given = [part[None] for part in state.to(x.dtype)]
            y, after = self.kernel(x, given[0] if len(given) == 1 else tuple(s.contiguous() for s in given))
            return y, after if len(given) == 1 else torch.cat(after)
        if self.cell.sequence is not None:
            y, new = self.cell.sequence(self._input_parts(x), tuple(state), torch)
            return y, torch.stack(new)
        outputs = []
        for t in range(x.shape[1]):
            y, state = self.step(x[:, t], state)
            outputs.append(y)
        return torch.stack(outputs, 1), state

    def _activations(self, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        return self.cell.activations(self._input_parts(x), self._recurrent_parts(state[0]), torch)

    def _input_parts(self, x: Tensor) -> tuple[Tensor, ...]:
        weight, bias = (self.kernel.get_parameter(f"{name}_ih_l0") for name in ("weight", "bias"))
        return nn.functional.linear(x, weight, bias).chunk(len(self.cell.gates), -1)

    def _recurrent_parts(self, h: Tensor) -> tuple[Tensor, ...]:
        gates = len(self.cell.gates)
        if not self.cell.recurrent:
            return (torch.zeros_like(h),) * gates
        weight, bias = (self.kernel.get_parameter(f"{name}_hh_l0") for name in ("weight", "bias"))
        return nn.functional.linear(h, weight, bias).chunk(gates, -1)


class _Parameters(nn.Module):
    """The parameters of a cell without a kernel of torch, named and initialized as torch does."""

    def __init__(self, cell: Cell, inputs: int, hidden: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden)
        for name, shape in cell.arrays(inputs, hidden).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))
