"""What every network keeps to, and the one that fits a description."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from noizenet.model import HEADS
from noizenet.model.architecture import Architecture
from noizenet.model.heads import Head


class Beat(NamedTuple):
    """What a network with a clock is told of the frames to come; None where it has no such part, or is told nothing.

    `beat_phase` [B, T] tell where in a beat a frame is, 1 to the clock's number of phases, and `phrase_beat` [B, T] in
    which beat of a phrase, 1 to 16; 0: nothing is told. `lookback_codes` [B, T, L, K] are the codes of so many beats
    ago; -1: nothing lies there.
    """

    beat_phase: Tensor | None = None
    phrase_beat: Tensor | None = None
    lookback_codes: Tensor | None = None


class Network(nn.Module):
    """Frames in, predictions of the next frames out.

    Attributes
    ----------
    architecture : Architecture
        Shapes.
    head : Head
        Turns outputs into losses and samples.
    frame_multiple : int
        :meth:`forward` takes sequences whose length is a multiple of this.

    Notes
    -----
    Shapes: frames are int [B, T, K] (classes; K is 1 but for codes) or float [B, T, D] (vectors); a genre mix is float
    [B, G] whose rows sum to 1 (one-hot in training; anything between in generation); the state is [B, N], whatever it
    holds.
    """

    architecture: Architecture
    head: Head
    frame_multiple: int = 1

    @abstractmethod
    def start_state(self, batch: int) -> Tensor:
        """Return the state of a track's start, [B, N]; it may be learned."""

    @abstractmethod
    def forward(self, frames: Tensor, mix: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from whole sequences: frames [B, T, ...] → outputs [B, T, O] and the state after."""

    def compute_loss(
        self, frames: Tensor, targets: Tensor, mix: Tensor, state: Tensor, beat_phase: Tensor | None = None,
        phrase_beat: Tensor | None = None, lookback_codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the head's loss, the outputs and the state after, for given frames and what follows each of them.

        For heads that predict a distribution the loss is the whole exact cost of `targets`, in nats per frame. Where
        the network has a clock, `beat_phase` and `phrase_beat` [B, T] and `lookback_codes` [B, T, L, K] are what it is
        told of each target (see :class:`Beat`); no other network heeds them.
        """
        output, after = self(frames, mix, state)
        with torch.autocast(output.device.type, enabled=False):
            return self.head.loss(output, targets), output, after

    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(p.numel() for p in self.parameters())


def make_network(architecture: Architecture, values: ArrayLike | Tensor | None = None) -> Network:
    """Return a network with fresh weights.

    Parameters
    ----------
    architecture : Architecture
    values : array, optional
        The number that each class stands for, rising, [V]; evenly spread over [-1, 1] by default. Only networks
        with tiers use it.
    """
    from noizenet.model.plain import PlainNetwork
    from noizenet.model.tiered import TieredNetwork
    from noizenet.model.tokens import TokenNetwork

    if architecture.options.tiers:
        return TieredNetwork(architecture, None if values is None else torch.as_tensor(values))
    return TokenNetwork(architecture) if architecture.tokens else PlainNetwork(architecture)


def make_head(architecture: Architecture, inputs: int) -> Head:
    """Return the head that an architecture names, over `inputs` numbers."""
    head: Head = HEADS.load(architecture.options.head)(inputs, architecture)
    return head
