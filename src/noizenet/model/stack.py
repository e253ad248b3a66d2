"""A stack of recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from noizenet.model.recurrent import RecurrentLayer


class Stack(nn.Module):
    """`layers` cells; dropout between them, as ``torch.nn`` places it.

    Parameters
    ----------
    cell : str
    inputs, hidden, layers : int
    dropout : float
    dilations : sequence of int, optional
        A layer of dilation d continues from its state d frames ago (S. Chang et al., "Dilated recurrent neural
        networks", NeurIPS 2017): it keeps d states in a queue, and spans d times as many frames in the same number of
        steps. 1 by default.
    residual : bool
        Whether layers above the first have residual connections (K. He et al., 2016).

    Notes
    -----
    The state is one tensor [R, S, B, H], whose rows R are the layers' queues, bottom to top, the oldest state first.
    """

    def __init__(
        self,
        cell: str,
        inputs: int,
        hidden: int,
        layers: int,
        dropout: float,
        dilations: Sequence[int] = (),
        *,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.cells = nn.ModuleList(RecurrentLayer(cell, hidden if i else inputs, hidden) for i in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.dilations, self.residual = tuple(dilations) or (1,) * layers, residual

    def layers(self) -> list[RecurrentLayer]:
        """Return the layers from bottom to top."""
        return [layer for layer in self.cells if isinstance(layer, RecurrentLayer)]

    def zero_state(self, batch: int) -> Tensor:
        """Return zeros [R, S, B, H]."""
        each = [c.zero_state(batch) for c in self.layers()]
        return torch.stack([zeros for zeros, d in zip(each, self.dilations, strict=True) for _ in range(d)])

    def queues(self, state: Tensor) -> Tensor:
        """Convert a network's flat state [B, N] to the layers' queues [R, S, B, H]."""
        cell = self.layers()[0]
        return state.reshape(state.shape[0], sum(self.dilations), cell.states, cell.hidden).permute(1, 2, 0, 3)

    @staticmethod
    def flat(queues: Tensor) -> Tensor:
        """Convert the layers' queues [R, S, B, H] to a flat state [B, N]."""
        return queues.permute(2, 0, 1, 3).flatten(1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run a sequence: x [B, T, I] → [B, T, H]."""
        after = []
        for i, (cell, queue) in enumerate(zip(self.layers(), self._split(state), strict=True)):
            y, new = _dilated(cell, self.dropout(x) if i else x, queue)
            after.append(new)
            x = x + y if i and self.residual else y
        return x, torch.cat(after)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one frame: x [B, I] → [B, H]."""
        after = []
        for i, (cell, queue) in enumerate(zip(self.layers(), self._split(state), strict=True)):
            y, new = cell.step(self.dropout(x) if i else x, queue[0])
            after.append(torch.cat([queue[1:], new[None]]))
            x = x + y if i and self.residual else y
        return x, torch.cat(after)

    def _split(self, state: Tensor) -> list[Tensor]:
        ends = [sum(self.dilations[: i + 1]) for i in range(len(self.dilations))]
        return [state[end - d : end] for end, d in zip(ends, self.dilations, strict=True)]


def _dilated(cell: RecurrentLayer, x: Tensor, queue: Tensor) -> tuple[Tensor, Tensor]:
    """Run a cell over x [B, T, I]; each frame continues from the state d frames ago. queue [d, S, B, H]."""
    d, (batch, length) = len(queue), x.shape[:2]
    if d == 1:
        y, new = cell(x, queue[0])
        return y, new[None]
    whole = length // d * d
    parts = []
    if whole:  # d sequences in the batch, each of every d-th frame
        strided = x[:, :whole].reshape(batch, whole // d, d, -1).transpose(1, 2).flatten(0, 1)
        y, new = cell(strided, queue.permute(1, 2, 0, 3).flatten(1, 2))
        parts.append(y.unflatten(0, (batch, d)).transpose(1, 2).flatten(1, 2))
        queue = new.unflatten(1, (batch, d)).permute(2, 0, 1, 3)
    for t in range(whole, length):
        y, new = cell(x[:, t : t + 1], queue[0])
        parts.append(y)
        queue = torch.cat([queue[1:], new[None]])
    return torch.cat(parts, 1), queue
