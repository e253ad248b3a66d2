"""One recurrent tier: it steps once in N samples and conditions the tier below at that tier's rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noizenet.model.architecture import TierShape
from noizenet.model.recurrent import RecurrentLayer


class Tier(nn.Module):
    """A layer over the latest samples → a recurrent cell → one vector for each step of the tier below.

    After S. Mehri et al., "SampleRNN" (ICLR 2017), §2.1, with a selectable cell, a nonlinear layer before it and a
    learned initial state.

    Parameters
    ----------
    cell : str
        Name in CELLS.
    shape : TierShape
        N samples per step, input size F, H units of the cell, R steps of the tier below, its input size.
    inputs : int
        D, units of the layer before the cell.
    genre : int
        Size of the genre's embedding; 0 for none.
    """

    def __init__(self, cell: str, shape: TierShape, inputs: int, genre: int) -> None:
        super().__init__()
        self.samples, self.lower = shape.samples, shape.lower
        self.frame = nn.Linear(shape.input_size, inputs)
        self.genre = nn.Linear(genre, inputs, bias=False) if genre else None
        self.cell = RecurrentLayer(cell, inputs, shape.hidden)
        self.start = nn.Parameter(torch.zeros(self.cell.states, shape.hidden))
        self.out_proj = nn.Linear(shape.hidden, shape.ratio * shape.lower)

    def forward(
        self, features: Tensor, condition: Tensor | None, genre: Tensor | None, state: Tensor
    ) -> tuple[Tensor, ...]:
        """Run n steps.

        Parameters
        ----------
        features : Tensor
            [B, n, F], features of the latest samples before each step.
        condition : Tensor, optional
            [B, n, D], output of the tier above.
        genre : Tensor, optional
            [B, E].
        state : Tensor
            [S, B, H].

        Returns
        -------
        tuple
            The cell's outputs [B, n, H], the condition of the tier below [B, n · R, lower], the state after.
        """
        x = self.frame(features)
        if self.genre is not None:
            x = x + self.genre(genre)[:, None]
        if condition is not None:
            x = x + condition
        y, after = self.cell(torch.relu(x), state)
        return y, self.out_proj(y).reshape(len(y), -1, self.lower), after
