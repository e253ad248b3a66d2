"""Watch the loss; name NaN and divergence; go back to the last good weights with half the learning rate."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch

from noizenet.base.errors import TrainingError
from noizenet.model.network import Network

SETTLE_STEPS = 20
MAX_RECOVERIES = 8
SMOOTHING = 0.9


class Guard:
    """Remembers good weights and how the loss began.

    Attributes
    ----------
    scale : float
        Factor on the learning rate; halved by each recovery.
    recoveries : int
    """

    def __init__(self, network: Network, optimizer: torch.optim.Optimizer) -> None:
        self.scale = 1.0
        self.recoveries = 0
        self._seen = 0
        self._first = 0.0
        self._smooth = 0.0
        self.remember(network, optimizer)

    def remember(self, network: Network, optimizer: torch.optim.Optimizer) -> None:
        """Keep a copy of weights and optimizer as the last good ones."""
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.moments = copy.deepcopy(optimizer.state_dict())

    def verdict(self, loss: float, gradient_norm: float) -> str:
        """Return what is wrong with a step, or an empty text."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(gradient_norm):
            return f"the gradient is {gradient_norm}"
        self._seen += 1
        if self._seen <= SETTLE_STEPS:
            self._first += loss / SETTLE_STEPS
            self._smooth = self._first * SETTLE_STEPS / self._seen
            return ""
        self._smooth = SMOOTHING * self._smooth + (1 - SMOOTHING) * loss
        if loss > 10 * self._first or self._smooth > 2 * self._first:
            return f"the loss diverged ({loss:.4g}, it began at {self._first:.4g})"
        return ""

    def recover(self, network: Network, optimizer: torch.optim.Optimizer, problem: str) -> None:
        """Go back to the last good weights and halve the learning rate.

        Raises
        ------
        TrainingError
            After too many recoveries.
        """
        self.recoveries += 1
        if self.recoveries > MAX_RECOVERIES:
            raise TrainingError(
                f"{problem}, and going back did not help {MAX_RECOVERIES} times; "
                "lower training.learning_rate or training.clip, or check the recordings"
            )
        self.scale *= 0.5
        network.load_state_dict(self.weights)
        optimizer.load_state_dict(copy.deepcopy(self.moments))
        self._smooth = min(self._smooth, self._first)

    def state(self) -> dict[str, Any]:
        """Return the numbers for a resume point (the weights go beside them)."""
        return {
            "scale": self.scale, "recoveries": self.recoveries,
            "seen": self._seen, "first": self._first, "smooth": self._smooth,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` returned."""
        self.scale, self.recoveries = float(state["scale"]), int(state["recoveries"])
        self._seen, self._first, self._smooth = (
            int(state["seen"]),
            float(state["first"]),
            float(state["smooth"]),
        )
