"""Layers of cells, one above the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noizenet.model import CELLS
from noizenet.model.cells import Cell


class Stack(nn.Module):
    """`layers` cells; dropout between them, as ``torch.nn`` places it.

    The state is one tensor [L, S, B, H].
    """

    def __init__(self, cell: str, inputs: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        make: type[Cell] = CELLS.load(cell)
        self.cells = nn.ModuleList(make(inputs if i == 0 else hidden, hidden) for i in range(layers))
        self.dropout = nn.Dropout(dropout)

    def layers(self) -> list[Cell]:
        """Return the cells from bottom to top."""
        return [c for c in self.cells if isinstance(c, Cell)]

    def zero_state(self, batch: int) -> Tensor:
        """Return zeros [L, S, B, H]."""
        return torch.stack([c.zero_state(batch) for c in self.layers()])

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run a sequence: x [B, T, I] → [B, T, H]."""
        after = []
        for i, cell in enumerate(self.layers()):
            x, new = cell(self.dropout(x) if i else x, state[i])
            after.append(new)
        return x, torch.stack(after)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one frame: x [B, I] → [B, H]."""
        after = []
        for i, cell in enumerate(self.layers()):
            x, new = cell.step(self.dropout(x) if i else x, state[i])
            after.append(new)
        return x, torch.stack(after)
