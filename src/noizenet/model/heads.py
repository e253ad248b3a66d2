"""From the top layer's output to a prediction, its loss, and the next frame."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noizenet.model.sampling import Sampling, probabilities


class Head(nn.Module):
    """A prediction of the next frame.

    Attributes
    ----------
    distribution : bool
        Whether the head predicts a distribution that can be sampled.
    unit : str
        The unit of :meth:`loss`.
    """

    distribution: ClassVar[bool] = True
    unit: str = "nats/frame"

    def __init__(self, hidden: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, outputs)

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


class CategoricalHead(Head):
    """A probability for each of V classes; the loss is the cross-entropy in nats per frame."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of output [B, T, V] against classes [B, T, 1]."""
        return F.cross_entropy(output.float().flatten(0, -2), target.flatten().long())

    def sample(self, output: Tensor, generator: torch.Generator, sampling: Sampling) -> Tensor:
        """Draw classes [B, 1]."""
        return torch.multinomial(probabilities(output.float(), sampling), 1, generator=generator)


class PointHead(Head):
    """The paper's regression: one number per dimension, no distribution.

    Under the mean square error the best it can say is the conditional mean, under the mean absolute error
    the conditional median; fed back to itself, either loses all that it is unsure of.
    """

    distribution = False

    def __init__(self, hidden: int, outputs: int, loss: str = "mse") -> None:
        super().__init__(hidden, outputs)
        self._loss = loss
        self.unit = {"mse": "mean square error", "mae": "mean absolute error"}[loss]

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean square or mean absolute error over all numbers."""
        if self._loss == "mse":
            return F.mse_loss(output.float(), target)
        return F.l1_loss(output.float(), target)

    def sample(self, output: Tensor, generator: torch.Generator, sampling: Sampling) -> Tensor:
        """Return the prediction itself."""
        return output
