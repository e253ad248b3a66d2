"""Heads: from the top layer's output to a prediction, its loss and samples."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noizenet.model.architecture import Architecture
from noizenet.model.sampling import Sampling, probabilities


class Head(nn.Module):
    """A prediction of the next frame.

    Parameters
    ----------
    inputs : int
        Size of the top layer's output.
    architecture : Architecture

    Attributes
    ----------
    distribution : bool
        Whether the head predicts a distribution that can be sampled.
    unit : str
        The unit of :meth:`loss`.
    """

    distribution: ClassVar[bool] = True
    unit: str = "nats/frame"

    def __init__(self, inputs: int, architecture: Architecture) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, architecture.outputs)

    def forward(self, h: Tensor) -> Tensor:
        """Map [..., H] to the prediction's parameters [..., O]."""
        out: Tensor = self.linear(h)
        return out

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss over all frames, a scalar."""
        raise NotImplementedError

    def sample(self, output: Tensor, generator: torch.Generator, sampling: Sampling) -> Tensor:
        """Draw the next frame from a prediction [B, O]."""
        raise NotImplementedError

    def mode(self, output: Tensor) -> Tensor:
        """Return the most probable frame [..., K]."""
        raise NotImplementedError

    def mean(self, output: Tensor, values: Tensor) -> Tensor:
        """Return the expected value [..., 1], class v having the value `values[v]`; for point heads, the prediction."""
        raise NotImplementedError


class CategoricalHead(Head):
    """A categorical distribution over V classes; the loss is the cross-entropy in nats per frame."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of output [B, T, V] against classes [B, T, 1]."""
        return F.cross_entropy(output.float().flatten(0, -2), target.flatten().long())

    def sample(self, output: Tensor, generator: torch.Generator, sampling: Sampling) -> Tensor:
        """Draw classes [B, 1]."""
        return torch.multinomial(probabilities(output.float(), sampling), 1, generator=generator)

    def mean(self, output: Tensor, values: Tensor) -> Tensor:
        """Sum the values, weighted by their probabilities."""
        return (torch.softmax(output.float(), -1) @ values)[..., None]


class PointHead(Head):
    """The paper's regression: one number per dimension, no distribution.

    The optimal prediction is the conditional mean for the mean square error and the conditional median for the mean
    absolute error. In free running both lose everything that is uncertain.
    """

    distribution = False

    def __init__(self, inputs: int, architecture: Architecture) -> None:
        super().__init__(inputs, architecture)
        self._loss = architecture.options.loss
        self.unit = {"mse": "mean square error", "mae": "mean absolute error"}[self._loss]

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean square or mean absolute error over all numbers."""
        if self._loss == "mse":
            return F.mse_loss(output.float(), target)
        return F.l1_loss(output.float(), target)

    def sample(self, output: Tensor, generator: torch.Generator, sampling: Sampling) -> Tensor:
        """Return the prediction itself."""
        return output

    def mean(self, output: Tensor, values: Tensor) -> Tensor:
        """Return the prediction itself."""
        return output.float()
