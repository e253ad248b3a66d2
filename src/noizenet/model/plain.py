"""The plain network: embeddings of frame and genre → recurrent stack → head, all at one rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noizenet.model.architecture import Architecture
from noizenet.model.network import Network, make_head
from noizenet.model.stack import Stack


class PlainNetwork(Network):
    """One stack of recurrent layers, one step per frame.

    Parameters
    ----------
    architecture : Architecture
        Shapes.

    Notes
    -----
    The state [B, L·S·H] starts at zero.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        o = a.options
        self.frame = nn.Embedding(a.levels, o.embedding) if a.kind == "classes" else None
        if self.frame is not None:
            with torch.no_grad():
                self.frame.weight.copy_(ordinal_code(a.levels, o.embedding))
        self.genre = nn.Embedding(a.genres, a.genre_size) if a.genre_size else None
        self.stack = Stack(o.cell, a.frame_size + a.genre_size, o.hidden, o.layers, o.dropout)
        self.head = make_head(a, o.hidden)

    def start_state(self, batch: int) -> Tensor:
        """Return zeros."""
        return self.stack.flat(self.stack.zero_state(batch))

    def genre_vector(self, mix: Tensor) -> Tensor:
        """Return the embedding [B, E] of a genre mix [B, G]."""
        assert self.genre is not None
        return mix @ self.genre.weight

    def forward(self, frames: Tensor, mix: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from whole sequences."""
        x = self._embed(frames)
        if self.genre is not None:
            genre = self.genre_vector(mix)[:, None].expand(-1, x.shape[1], -1)
            x = torch.cat([x, genre], -1)
        y, after = self.stack(x, self.stack.queues(state))
        return self.head(y), self.stack.flat(after)

    def step(self, frame: Tensor, mix: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from one frame: [B, ...] → output [B, O] and the state after."""
        x = self._embed(frame)
        if self.genre is not None:
            x = torch.cat([x, self.genre_vector(mix)], -1)
        y, after = self.stack.step(x, self.stack.queues(state))
        return self.head(y), self.stack.flat(after)

    def _embed(self, frames: Tensor) -> Tensor:
        if self.frame is None:
            return frames
        embedded: Tensor = self.frame(frames[..., 0])
        return embedded


def ordinal_code(levels: int, size: int) -> Tensor:
    """Return the initial class embedding [levels, size], in which neighbouring classes are similar.

    Classes of a quantiser are ordered. With smooth functions of the order as initial values (the position, its
    exponential curve, then sines and cosines) instead of random numbers the network does not have to learn the order;
    for its benefit see docs/results.md.
    """
    y = torch.linspace(-1, 1, levels)
    columns = [1.7 * y, 3 * torch.sign(y) * torch.expm1(y.abs() * math.log(levels)) / (levels - 1)]
    k = 1
    while len(columns) < size:
        columns += [torch.sin(math.pi * k * y / 2), torch.cos(math.pi * k * y / 2)]
        k += 1
    return torch.stack(columns[:size], 1)
