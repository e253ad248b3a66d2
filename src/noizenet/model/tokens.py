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

from noizenet.model.architecture import RMS_EPS, Architecture
from noizenet.model.heads import Head
from noizenet.model.network import Beat, Network
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
        self.shared = o.depth_shared
        tables = range(architecture.given_tables)
        self.given = nn.ModuleList(nn.Embedding(self.levels, o.depth_width) for _ in tables)
        self.out = nn.ModuleList(nn.Linear(o.depth_width, self.levels) for _ in range(self.codebooks))
        size = architecture.genre_size
        colours = (nn.Linear(size, o.depth_width, bias=False) for _ in range(self.codebooks if size else 0))
        self.colour = nn.ModuleList(colours)
        for table in self.given:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, 0, 0.02)
        self.beat = nn.ModuleList(ticking(o.clock, o.depth_width) for _ in range(self.codebooks if o.clock else 0))
        self.phrase = nn.ModuleList(ticking(o.phrase, o.depth_width) for _ in range(self.codebooks if o.phrase else 0))
        lookbacks = range(len(o.lookback_beats) * self.codebooks)
        self.lookback = nn.ModuleList(ticking(self.levels, o.depth_width) for _ in lookbacks)
        blocks = range(self.codebooks if o.depth_block == "gated" else 0)
        self.norm = nn.ParameterList(torch.ones(o.depth_width) for _ in blocks)
        self.up = nn.ModuleList(nn.Linear(o.depth_width, 2 * o.depth_width, bias=False) for _ in blocks)
        self.down = nn.ModuleList(nn.Linear(o.depth_width, o.depth_width, bias=False) for _ in blocks)
        for down in self.down:
            assert isinstance(down, nn.Linear)
            with torch.no_grad():
                down.weight.mul_(0.3)  # the layer adds little yet

    def forward(
        self, h: Tensor, codes: Tensor | None = None, genre: Tensor | None = None, ticks: Tensor | None = None,
        places: Tensor | None = None, back: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return logits [..., K · V].

        `h` is [..., H], `codes` the frame's codes [..., K] (the last of which is not looked at), `genre` [..., E] an
        embedding; None, like zeros, says that it may be any. `ticks`, `places` [...] and `back` [..., L, K] tell of the
        frame what :class:`~noizenet.model.network.Beat` says; None says nothing.
        """
        assert codes is not None, "the codes of a frame depend on one another: give them"
        beat = Beat(ticks, places, back)
        return torch.cat([self.logits(k, h, codes, genre, beat) for k in range(self.codebooks)], -1)

    def logits(self, k: int, h: Tensor, codes: Tensor, genre: Tensor | None, beat: Beat) -> Tensor:
        """Return the logits [..., V] of the `k`-th code, given the codes [..., ≥ k] before it.

        A gated layer in front of them is that of N. Shazeer, "GLU variants improve transformer", 2020, after the norm
        of B. Zhang and R. Sennrich, "Root mean square layer normalization", 2019.
        """
        x: Tensor = self.say[k](h)
        if genre is not None:
            x = x + self.colour[k](genre)
        if beat.ticks is not None:
            x = x + self.beat[k](beat.ticks)
        if self.phrase and beat.places is not None:
            x = x + self.phrase[k](beat.places)
        for i in range(len(self.lookback) // self.codebooks if beat.back is not None else 0):
            assert beat.back is not None
            x = x + self.lookback[i * self.codebooks + k](1 + beat.back[..., i, k])
        for j in range(k):
            x = x + self.given[j if self.shared else k * (k - 1) // 2 + j](codes[..., j])
        if self.norm:
            a, b = self.up[k](F.rms_norm(x.float(), x.shape[-1:], eps=RMS_EPS).to(x.dtype) * self.norm[k]).chunk(2, -1)
            x = x + self.down[k](F.silu(a) * b)
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
    """Return a table of what each phase of a beat (or beat, or code) adds: nothing yet, and nothing ever for row 0."""
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
    frame's bits depends on it (docs/results.md) is how little of the pulse it would learn to keep by itself. It may
    also be told in which beat of a phrase that frame lies, and the codes of some beats before it (E. Waite's Lookback
    RNN, Magenta, 2016, carried to audio): in the stack through one matrix over the embeddings that codes have there.
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
        self.phrase = ticking(o.phrase, o.embedding) if o.phrase else None
        self.lookback = None
        if o.lookback_beats:
            self.lookback = nn.Linear(len(o.lookback_beats) * o.embedding, o.embedding, bias=False)
            nn.init.zeros_(self.lookback.weight)
        self.start = nn.Parameter(torch.zeros(o.layers, self.stack.layers()[0].states, o.hidden))
        self.dropout = nn.Dropout(o.dropout)
        self.head = DepthHead(o.hidden, a)

    def start_state(self, batch: int) -> Tensor:
        """Return the learned state of a track's start."""
        repeats = torch.tensor(self.architecture.dilations)
        return self.start.repeat_interleave(repeats, 0).reshape(1, -1).expand(batch, -1)

    def forward(
        self, frames: Tensor, mix: Tensor, state: Tensor, targets: Tensor | None = None, ticks: Tensor | None = None,
        places: Tensor | None = None, back: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Predict from whole sequences [B, T, K], given of what follows each frame `targets` and what is told of it.

        For `ticks`, `places` and `back` see :class:`~noizenet.model.network.Beat`.
        """
        y, after = self.stack(self.heard(frames, ticks, places, back), self.stack.queues(state))
        timed = ticks if self.clock is not None else None
        return self.head(self.dropout(y), targets, self.told(mix), timed, places, back), self.stack.flat(after)

    def heard(
        self, codes: Tensor, ticks: Tensor | None, places: Tensor | None = None, back: Tensor | None = None
    ) -> Tensor:
        """Return what the stack hears [..., E] of codes [..., K] and of what is told of the next frame."""
        x: Tensor = sum(table(codes[..., k]) for k, table in enumerate(self.codes))
        if self.clock is not None and ticks is not None:
            x = x + self.clock(ticks)
        if self.phrase is not None and places is not None:
            x = x + self.phrase(places)
        if self.lookback is not None and back is not None:
            there = (back >= 0)[..., None]
            then: Tensor = sum(
                table(back[..., k].clamp(min=0)) * there[..., k, :] for k, table in enumerate(self.codes)
            )
            x = x + self.lookback(then.flatten(-2))
        return x

    def told(self, mix: Tensor) -> Tensor | None:
        """Return the embedding [B, 1, E] of a mix [B, G]; None where the network is not told the genre."""
        return None if self.genre is None else (mix @ self.genre.weight)[:, None]

    def nats(
        self, frames: Tensor, targets: Tensor, mix: Tensor, state: Tensor, ticks: Tensor | None = None,
        places: Tensor | None = None, back: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the exact cost of frames in nats, the logits and the state after."""
        output, after = self(frames, mix, state, targets, ticks, places, back)
        with torch.autocast(output.device.type, enabled=False):
            return self.head.loss(output, targets), output, after
