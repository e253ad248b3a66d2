"""A network over frames of several codes: a recurrent stack from frame to frame, a small network inside each frame.

The stack hears a frame's codes as one sum of embeddings and carries the music through time. What it says is turned into
the next frame's codes one after another, each given those before it (after the two transformers of D. Lee et al.,
"Autoregressive image generation using residual quantization", CVPR 2022, with recurrent layers in place of the large
one and a single layer per code in place of the small one). The probability of a frame is so exact.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noizenet.model.architecture import Architecture
from noizenet.model.heads import Head
from noizenet.model.network import Network
from noizenet.model.sampling import Sampling, probabilities
from noizenet.model.stack import Stack


class DepthHead(Head):
    """K distributions over V codes, each given the codes before it in the frame.

    Its output [..., K · V] holds their logits; the loss is the cost of a whole frame in nats.
    """

    def __init__(self, inputs: int, architecture: Architecture) -> None:
        nn.Module.__init__(self)
        o = architecture.options
        self.codebooks, self.levels = architecture.dim, architecture.levels
        self.say = nn.ModuleList(nn.Linear(inputs, o.depth_width) for _ in range(self.codebooks))
        pairs = self.codebooks * (self.codebooks - 1) // 2
        self.given = nn.ModuleList(nn.Embedding(self.levels, o.depth_width) for _ in range(pairs))
        self.out = nn.ModuleList(nn.Linear(o.depth_width, self.levels) for _ in range(self.codebooks))
        size = architecture.genre_size
        colours = (nn.Linear(size, o.depth_width, bias=False) for _ in range(self.codebooks if size else 0))
        self.colour = nn.ModuleList(colours)
        for table in self.given:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, 0, 0.02)
        self.beat = nn.ModuleList(ticking(o.clock, o.depth_width) for _ in range(self.codebooks if o.clock else 0))

    def forward(
        self, h: Tensor, codes: Tensor | None = None, genre: Tensor | None = None, ticks: Tensor | None = None
    ) -> Tensor:
        """Return logits [..., K · V].

        `h` is [..., H], `codes` the frame's codes [..., K] (the last of which is not looked at), `genre` [..., E] an
        embedding; None, like zeros, says that it may be any. `ticks` [...] tell where in a beat the frame is; None,
        like zeros, says nothing of it.
        """
        assert codes is not None, "the codes of a frame depend on one another: give them"
        return torch.cat([self.logits(k, h, codes, genre, ticks) for k in range(self.codebooks)], -1)

    def logits(
        self, k: int, h: Tensor, codes: Tensor, genre: Tensor | None = None, ticks: Tensor | None = None
    ) -> Tensor:
        """Return the logits [..., V] of the `k`-th code, given the codes [..., ≥ k] before it."""
        x: Tensor = self.say[k](h)
        if genre is not None:
            x = x + self.colour[k](genre)
        if ticks is not None:
            x = x + self.beat[k](ticks)
        for j in range(k):
            x = x + self.given[k * (k - 1) // 2 + j](codes[..., j])
        y: Tensor = self.out[k](torch.relu(x))
        return y

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of logits [B, T, K · V] against codes [B, T, K], summed over a frame."""
        logits = output.float().reshape(-1, self.levels)
        return F.cross_entropy(logits, target.reshape(-1).long()) * self.codebooks

    def sample(self, output: Tensor, generator: torch.Generator, sampling: Sampling) -> Tensor:
        """Draw codes [B, K] from logits that were given the true codes before them."""
        p = probabilities(output.float().reshape(-1, self.levels), sampling)
        return torch.multinomial(p, 1, generator=generator).reshape(-1, self.codebooks)

    def likeliest(self, output: Tensor) -> Tensor:
        """Return each code's likeliest value [..., K]."""
        return output.reshape(*output.shape[:-1], self.codebooks, self.levels).argmax(-1)


def ticking(phases: int, size: int) -> nn.Embedding:
    """Return a table of what each phase of a beat adds: nothing yet, and nothing ever for row 0."""
    table = nn.Embedding(phases + 1, size, padding_idx=0)
    nn.init.zeros_(table.weight)
    return table


class TokenNetwork(Network):
    """Codes in, distributions of the next frame's codes out.

    Parameters
    ----------
    architecture : Architecture

    Notes
    -----
    The state [B, R·S·H] (see :class:`noizenet.model.stack.Stack`) starts where training has put it. The genre is told
    to the head alone: the stack carries what was heard, the head says what a genre makes of it. A mix of zeros means
    any genre; what a genre adds to it can be exaggerated in playing
    (:attr:`noizenet.model.sampling.Sampling.guidance`) for the cost of a few small products.

    A network with a clock is told where in a beat the frame to come is, in the stack and in the head. How little of a
    frame's bits depends on it (docs/results.md) is how little of the pulse it would learn to keep by itself.
    """

    head: DepthHead

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        o = a.options
        self.codes = nn.ModuleList(nn.Embedding(a.levels, o.embedding) for _ in range(a.dim))
        for table in self.codes:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, 0, a.dim**-0.5)
        self.genre = nn.Embedding(a.genres, a.genre_size) if a.genre_size else None
        self.stack = Stack(
            o.cell, o.embedding, o.hidden, o.layers, o.dropout, architecture.dilations, residual=o.residual
        )
        self.clock = ticking(o.clock, o.embedding) if o.clock else None
        self.start = nn.Parameter(torch.zeros(o.layers, self.stack.layers()[0].states, o.hidden))
        self.dropout = nn.Dropout(o.dropout)
        self.head = DepthHead(o.hidden, a)

    def start_state(self, batch: int) -> Tensor:
        """Return the learned state of a track's start."""
        repeats = torch.tensor(self.architecture.dilations)
        return self.start.repeat_interleave(repeats, 0).reshape(1, -1).expand(batch, -1)

    def forward(
        self, frames: Tensor, mix: Tensor, state: Tensor, targets: Tensor | None = None, ticks: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict from whole sequences [B, T, K], given of what follows each frame `targets` and `ticks` [B, T]."""
        y, after = self.stack(self.heard(frames, ticks), self.stack.queues(state))
        logits = self.head(self.dropout(y), targets, self.told(mix), ticks if self.clock is not None else None)
        return logits, self.stack.flat(after)

    def heard(self, codes: Tensor, ticks: Tensor | None) -> Tensor:
        """Return what the stack hears [..., E] of codes [..., K] and of where in a beat the next frame is, [...]."""
        x: Tensor = sum(table(codes[..., k]) for k, table in enumerate(self.codes))
        return x if self.clock is None or ticks is None else x + self.clock(ticks)

    def told(self, mix: Tensor) -> Tensor | None:
        """Return the embedding [B, 1, E] of a mix [B, G]; None where the network is not told the genre."""
        return None if self.genre is None else (mix @ self.genre.weight)[:, None]

    def nats(
        self, frames: Tensor, targets: Tensor, mix: Tensor, state: Tensor, ticks: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the exact cost of frames in nats, the logits and the state after."""
        output, after = self(frames, mix, state, targets, ticks)
        with torch.autocast(output.device.type, enabled=False):
            return self.head.loss(output, targets), output, after
