"""A network over frames of several codes: a recurrent stack over frames, and a small network within each frame.

The stack's input is the sum of the embeddings of a frame's codes. From its output the head predicts the next frame's
codes one after another, each conditioned on those before it, so the probability of a frame is exact. (After the two
transformers of D. Lee et al., "Autoregressive image generation using residual quantization", CVPR 2022, with recurrent
layers instead of the large one and a single layer per code instead of the small one.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noizenet.model.architecture import RMS_EPS, Architecture
from noizenet.model.heads import Head
from noizenet.model.network import BeatInputs, Network
from noizenet.model.sampling import Sampling, probabilities
from noizenet.model.stack import Stack


class DepthHead(Head):
    """K distributions over V codes, each conditioned on the codes before it in the frame.

    The output [..., K · V] holds their logits; the loss is the NLL of a whole frame in nats.
    """

    def __init__(self, inputs: int, architecture: Architecture) -> None:
        nn.Module.__init__(self)
        o = architecture.options
        self.codebooks, self.levels = architecture.dim, architecture.levels
        self.in_proj = nn.ModuleList(nn.Linear(inputs, o.depth_width) for _ in range(self.codebooks))
        self.shared = o.depth_shared
        tables = range(architecture.n_code_tables)
        self.code_embeddings = nn.ModuleList(nn.Embedding(self.levels, o.depth_width) for _ in tables)
        self.out_proj = nn.ModuleList(nn.Linear(o.depth_width, self.levels) for _ in range(self.codebooks))
        size = architecture.genre_size
        genre_projs = (nn.Linear(size, o.depth_width, bias=False) for _ in range(self.codebooks if size else 0))
        self.genre_proj = nn.ModuleList(genre_projs)
        for table in self.code_embeddings:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, 0, 0.02)
        self.phase_embedding = nn.ModuleList(
            zero_embedding(o.clock, o.depth_width) for _ in range(self.codebooks if o.clock else 0)
        )
        self.phrase_embedding = nn.ModuleList(
            zero_embedding(o.phrase, o.depth_width) for _ in range(self.codebooks if o.phrase else 0)
        )
        lookbacks = range(len(o.lookback_beats) * self.codebooks)
        self.lookback = nn.ModuleList(zero_embedding(self.levels, o.depth_width) for _ in lookbacks)
        blocks = range(self.codebooks if o.depth_block == "gated" else 0)
        self.norm = nn.ParameterList(torch.ones(o.depth_width) for _ in blocks)
        self.up = nn.ModuleList(nn.Linear(o.depth_width, 2 * o.depth_width, bias=False) for _ in blocks)
        self.down = nn.ModuleList(nn.Linear(o.depth_width, o.depth_width, bias=False) for _ in blocks)
        for down in self.down:
            assert isinstance(down, nn.Linear)
            with torch.no_grad():
                down.weight.mul_(0.3)  # a small initial contribution

    def forward(
        self, h: Tensor, codes: Tensor | None = None, genre: Tensor | None = None, beat_phase: Tensor | None = None,
        phrase_beat: Tensor | None = None, lookback_codes: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return logits [..., K · V].

        `h` is [..., H], `codes` are the frame's codes [..., K] (the last is unused), `genre` [..., E] is an embedding;
        None or zeros: unconditional. `beat_phase`, `phrase_beat` [...] and `lookback_codes` [..., L, K] are the frame's
        :class:`~noizenet.model.network.BeatInputs`; None: unconditional.
        """
        assert codes is not None, "each code is conditioned on the frame's earlier codes: give codes"
        beat = BeatInputs(beat_phase, phrase_beat, lookback_codes)
        return torch.cat([self.logits(k, h, codes, genre, beat) for k in range(self.codebooks)], -1)

    def logits(self, k: int, h: Tensor, codes: Tensor, genre: Tensor | None, beat: BeatInputs) -> Tensor:
        """Return the logits [..., V] of the `k`-th code, given the codes [..., ≥ k] before it.

        The optional gated layer is that of N. Shazeer, "GLU variants improve transformer", 2020, after the norm
        of B. Zhang and R. Sennrich, "Root mean square layer normalization", 2019.
        """
        x: Tensor = self.in_proj[k](h)
        if genre is not None:
            x = x + self.genre_proj[k](genre)
        if beat.beat_phase is not None:
            x = x + self.phase_embedding[k](beat.beat_phase)
        if self.phrase_embedding and beat.phrase_beat is not None:
            x = x + self.phrase_embedding[k](beat.phrase_beat)
        for i in range(len(self.lookback) // self.codebooks if beat.lookback_codes is not None else 0):
            assert beat.lookback_codes is not None
            x = x + self.lookback[i * self.codebooks + k](1 + beat.lookback_codes[..., i, k])
        for j in range(k):
            x = x + self.code_embeddings[j if self.shared else k * (k - 1) // 2 + j](codes[..., j])
        if self.norm:
            a, b = self.up[k](F.rms_norm(x.float(), x.shape[-1:], eps=RMS_EPS).to(x.dtype) * self.norm[k]).chunk(2, -1)
            x = x + self.down[k](F.silu(a) * b)
        y: Tensor = self.out_proj[k](torch.relu(x))
        return y

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of logits [B, T, K · V] against codes [B, T, K], summed over a frame."""
        logits = output.float().reshape(-1, self.levels)
        return F.cross_entropy(logits, target.reshape(-1).long()) * self.codebooks

    def sample(self, output: Tensor, generator: torch.Generator, sampling: Sampling) -> Tensor:
        """Draw codes [B, K] from teacher-forced logits."""
        p = probabilities(output.float().reshape(-1, self.levels), sampling)
        return torch.multinomial(p, 1, generator=generator).reshape(-1, self.codebooks)

    def mode(self, output: Tensor) -> Tensor:
        """Return each code's most probable value [..., K]."""
        return output.reshape(*output.shape[:-1], self.codebooks, self.levels).argmax(-1)


def zero_embedding(phases: int, size: int) -> nn.Embedding:
    """Return a zero-initialised embedding of `phases` + 1 rows; row 0 means "none" and stays zero."""
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
    The state [B, R·S·H] (see :class:`noizenet.model.stack.Stack`) starts from a learned value. Only the head is
    conditioned on the genre. A mix of zeros means any genre, so generation can use classifier-free guidance
    (:attr:`noizenet.model.sampling.Sampling.genre_guidance`) at the cost of a few small products.

    In a network with a clock, stack and head are conditioned on the phase of the beat at the target frame. Few of a
    frame's bits depend on the phase (docs/results.md), so the loss barely rewards a steady tempo without it. Further
    optional conditions are the beat in the phrase, and the codes of some beats ago (after E. Waite's Lookback RNN,
    Magenta, 2016): the stack applies one matrix to the embeddings of these codes.
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
        self.phase_embedding = zero_embedding(o.clock, o.embedding) if o.clock else None
        self.phrase_embedding = zero_embedding(o.phrase, o.embedding) if o.phrase else None
        self.lookback = None
        if o.lookback_beats:
            self.lookback = nn.Linear(len(o.lookback_beats) * o.embedding, o.embedding, bias=False)
            nn.init.zeros_(self.lookback.weight)
        self.start = nn.Parameter(torch.zeros(o.layers, self.stack.layers()[0].states, o.hidden))
        self.dropout = nn.Dropout(o.dropout)
        self.head = DepthHead(o.hidden, a)

    def start_state(self, batch: int) -> Tensor:
        """Return the learned initial state."""
        repeats = torch.tensor(self.architecture.dilations)
        return self.start.repeat_interleave(repeats, 0).reshape(1, -1).expand(batch, -1)

    def forward(
        self, frames: Tensor, mix: Tensor, state: Tensor, targets: Tensor | None = None,
        beat_phase: Tensor | None = None,
        phrase_beat: Tensor | None = None, lookback_codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Predict from whole sequences [B, T, K], given the `targets` and their beat conditioning.

        For `beat_phase`, `phrase_beat` and `lookback_codes` see :class:`~noizenet.model.network.BeatInputs`.
        """
        y, after = self.stack(
            self.embed_inputs(frames, beat_phase, phrase_beat, lookback_codes), self.stack.queues(state)
        )
        phase = beat_phase if self.phase_embedding is not None else None
        return self.head(
            self.dropout(y), targets, self.embed_genre(mix), phase, phrase_beat, lookback_codes
        ), self.stack.flat(after)

    def embed_inputs(
        self,
        codes: Tensor,
        beat_phase: Tensor | None,
        phrase_beat: Tensor | None = None,
        lookback_codes: Tensor | None = None,
    ) -> Tensor:
        """Return the stack's input [..., E] from codes [..., K] and the next frame's beat conditioning."""
        x: Tensor = sum(table(codes[..., k]) for k, table in enumerate(self.codes))
        if self.phase_embedding is not None and beat_phase is not None:
            x = x + self.phase_embedding(beat_phase)
        if self.phrase_embedding is not None and phrase_beat is not None:
            x = x + self.phrase_embedding(phrase_beat)
        if self.lookback is not None and lookback_codes is not None:
            valid = (lookback_codes >= 0)[..., None]
            embedded: Tensor = sum(
                table(lookback_codes[..., k].clamp(min=0)) * valid[..., k, :] for k, table in enumerate(self.codes)
            )
            x = x + self.lookback(embedded.flatten(-2))
        return x

    def embed_genre(self, mix: Tensor) -> Tensor | None:
        """Return the embedding [B, 1, E] of a mix [B, G]; None without genre conditioning."""
        return None if self.genre is None else (mix @ self.genre.weight)[:, None]

    def compute_loss(
        self, frames: Tensor, targets: Tensor, mix: Tensor, state: Tensor, beat_phase: Tensor | None = None,
        phrase_beat: Tensor | None = None, lookback_codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the exact NLL in nats per frame, the logits and the state after."""
        output, after = self(frames, mix, state, targets, beat_phase, phrase_beat, lookback_codes)
        with torch.autocast(output.device.type, enabled=False):
            return self.head.loss(output, targets), output, after
