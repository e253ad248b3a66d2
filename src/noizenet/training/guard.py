"""Watch the loss; name what goes wrong; go back to the last good weights with half the learning rate.

Three things are told from the losses alone, at no cost:

- a loss or a gradient that is no number;
- divergence: a loss ten times what it was at the beginning, or a running mean twice of it;
- getting nowhere: the loss of a saturated network is finite and need not be large. So every step's loss is compared
  with chance on the same targets (:func:`noizenet.training.step.chance`). A run whose mean over :data:`BLOCK` steps is
  above chance, and above where it began, has learned less than nothing. A run that had to go back once has to show
  more, since its learning rate is in doubt: a mean 5 % below chance.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch

from noizenet.base.errors import TrainingError

RECOVERY_STEPS = 20
MAX_RECOVERIES = 8
SMOOTHING = 0.9
BLOCK = 500
"""Steps over which a loss is compared with chance. Networks of every recipe are below it after some fifty."""
WORSE, BETTER = 1.02, 0.95
"""Loss ÷ chance that is too high in any run, and in one that had to go back."""


class DivergenceGuard:
    """Remembers good weights and how the loss began.

    Parameters
    ----------
    network : torch.nn.Module
    optimizer : torch.optim.Optimizer
    warmup_steps : int
        Steps in which the learning rate still rises: nobody expects progress in them.

    Attributes
    ----------
    scale : float
        Factor on the learning rate; halved by each recovery.
    recoveries : int
    """

    def __init__(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, warmup_steps: int = 0) -> None:
        self.scale = 1.0
        self.recoveries = 0
        self._warmup = warmup_steps
        self._seen = 0
        self._first = 0.0
        self._smooth = 0.0
        self._began = 1.0
        self._block, self._losses, self._chances = 0, 0.0, 0.0
        self._take(network, optimizer)

    def snapshot(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Keep a copy of weights and optimizer as the last good ones, unless they are worse than guessing."""
        if not self._block or self._ratio() <= self._limit():
            self._take(network, optimizer)

    def _take(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.moments = copy.deepcopy(optimizer.state_dict())

    def check(self, loss: float, gradient_norm: float, chance: float = math.inf) -> str:
        """Return what is wrong with a step, or an empty text.

        Parameters
        ----------
        loss, gradient_norm : float
        chance : float
            The loss of guessing the same targets, above 0; infinite where there is no such figure.
        """
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(gradient_norm):
            return f"the gradient is {gradient_norm}"
        self._seen += 1
        if math.isfinite(chance) and self._seen > self._warmup and (problem := self._against(loss, chance)):
            return problem
        if self._seen <= RECOVERY_STEPS:
            self._first += loss / RECOVERY_STEPS
            self._smooth = self._first * RECOVERY_STEPS / self._seen
            return ""
        self._smooth = SMOOTHING * self._smooth + (1 - SMOOTHING) * loss
        if loss > 10 * self._first or self._smooth > 2 * self._first:
            return f"the loss diverged ({loss:.4g}, it began at {self._first:.4g})"
        return ""

    def _against(self, loss: float, chance: float) -> str:
        """Take in a step's loss and chance; at a block's end, return what is wrong with their ratio."""
        if self._seen == self._warmup + 1:
            self._began = max(1.0, loss / chance)
        self._block, self._losses, self._chances = self._block + 1, self._losses + loss, self._chances + chance
        if self._block < BLOCK:
            return ""
        ratio, mean, limit = self._ratio(), self._losses / BLOCK, self._limit()
        self._block, self._losses, self._chances = 0, 0.0, 0.0
        if ratio <= limit:
            return ""
        return f"{BLOCK} steps brought the loss to {mean:.4g} on average, guessing gives {mean / ratio:.4g}"

    def _ratio(self) -> float:
        return self._losses / self._chances

    def _limit(self) -> float:
        return BETTER if self.recoveries else WORSE * self._began

    def recover(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, problem: str) -> None:
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
        self._block, self._losses, self._chances = 0, 0.0, 0.0

    def state(self) -> dict[str, Any]:
        """Return the numbers for a resume point (the weights go beside them)."""
        return {
            "scale": self.scale, "recoveries": self.recoveries, "seen": self._seen, "first": self._first,
            "smooth": self._smooth, "began": self._began, "block": [self._block, self._losses, self._chances],
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` returned."""
        self.scale, self.recoveries = float(state["scale"]), int(state["recoveries"])
        self._seen = int(state["seen"])
        self._first, self._smooth = float(state["first"]), float(state["smooth"])
        self._began = float(state.get("began", 1.0))
        steps, losses, chances = state.get("block", (0, 0.0, 0.0))  # resume points of 0.1.0 have none
        self._block, self._losses, self._chances = int(steps), float(losses), float(chances)
