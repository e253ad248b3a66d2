"""Base class of networks."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from noizenet.model import HEADS
from noizenet.model.architecture import Architecture
from noizenet.model.heads import Head


class BeatInputs(NamedTuple):
    """Beat conditioning of the target frames of a network with a clock; None for an unused part.

    `beat_phase` [B, T] is the phase of the beat, 1 to the clock's number of phases; 0: none. `phrase_beat` [B, T] is
    the beat in the phrase, 1 to 16; 0: none. `lookback_codes` [B, T, L, K] are the codes at L distances in beats before
    the target; -1: none.
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
        Computes losses and samples from outputs.
    frame_multiple : int
        The length of sequences in :meth:`forward` must be a multiple of this.

    Notes
    -----
    Shapes: frames are int [B, T, K] (classes; K is 1 but for codes) or float [B, T, D] (vectors); a genre mix is float
    [B, G] whose rows sum to 1 (one-hot in training; anything between in generation); the state is [B, N] for all
    networks.
    """

    architecture: Architecture
    head: Head
    frame_multiple: int = 1

    @abstractmethod
    def start_state(self, batch: int) -> Tensor:
        """Return the state at the start of a track, [B, N]; it may be learned."""

    @abstractmethod
    def forward(self, frames: Tensor, mix: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from whole sequences: frames [B, T, ...] → outputs [B, T, O] and the state after."""

    def compute_loss(
        self, frames: Tensor, targets: Tensor, mix: Tensor, state: Tensor, beat_phase: Tensor | None = None,
        phrase_beat: Tensor | None = None, lookback_codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the head's loss, the outputs and the state after, for frames and their targets.

        For heads that predict a distribution the loss is the exact negative log-likelihood of `targets`, in nats per
        frame. `beat_phase` and `phrase_beat` [B, T] and `lookback_codes` [B, T, L, K] are the beat conditioning of each
        target (see :class:`BeatInputs`); networks without a clock ignore them.
        """
        output, after = self(frames, mix, state)
        with torch.autocast(output.device.type, enabled=False):
            return self.head.loss(output, targets), output, after

    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(p.numel() for p in self.parameters())


def make_head(architecture: Architecture, inputs: int) -> Head:
    """Return the head of an architecture, for input size `inputs`."""
    head: Head = HEADS.load(architecture.options.head)(inputs, architecture)
    return head
