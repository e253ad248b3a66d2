"""Divergence check: on a problem, training restores the last good weights and halves the learning rate.

Three problems are detected from losses and gradient norms:

- a loss or gradient that is not finite;
- divergence: a loss ten times the initial one, or a running mean twice the initial one;
- no progress: the loss of a saturated network is finite and need not be large. So every step's loss is compared with
  chance on the same targets (:func:`noizenet.training.step.chance`). A run whose mean over :data:`BLOCK` steps is above
  chance, and above its initial ratio to chance, is worse than guessing. After a recovery the learning rate is in doubt,
  and the mean has to be 5 % below chance.
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
"""Steps over which the loss is compared with chance. Networks of every recipe are below chance after some fifty."""
MAX_RATIO, MAX_RATIO_RECOVERED = 1.02, 0.95
"""Largest loss ÷ chance of any run, and of a run after a recovery."""


class DivergenceGuard:
    """Keeps the last good weights and the initial loss.

    Parameters
    ----------
    network : torch.nn.Module
    optimizer : torch.optim.Optimizer
    warmup_steps : int
        Steps in which the learning rate still rises; no progress is expected in them.

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
        self._initial_ratio = 1.0
        self._block_steps, self._losses, self._chances = 0, 0.0, 0.0
        self._copy_state(network, optimizer)

    def snapshot(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Keep a copy of weights and optimizer as the last good state, unless they are worse than guessing."""
        if not self._block_steps or self._ratio() <= self._limit():
            self._copy_state(network, optimizer)

    def _copy_state(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.moments = copy.deepcopy(optimizer.state_dict())

    def check(self, loss: float, gradient_norm: float, chance: float = math.inf) -> str:
        """Return the problem of a step, or an empty string.

        Parameters
        ----------
        loss, gradient_norm : float
        chance : float
            The loss of guessing the same targets, above 0; infinite if unknown.
        """
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(gradient_norm):
            return f"the gradient is {gradient_norm}"
        self._seen += 1
        if math.isfinite(chance) and self._seen > self._warmup and (problem := self._compare_with_chance(loss, chance)):
            return problem
        if self._seen <= RECOVERY_STEPS:
            self._first += loss / RECOVERY_STEPS
            self._smooth = self._first * RECOVERY_STEPS / self._seen
            return ""
        self._smooth = SMOOTHING * self._smooth + (1 - SMOOTHING) * loss
        if loss > 10 * self._first or self._smooth > 2 * self._first:
            return f"the loss diverged ({loss:.4g}, initially {self._first:.4g})"
        return ""

    def _compare_with_chance(self, loss: float, chance: float) -> str:
        """Add a step's loss and chance; at the end of a block, return the problem with their ratio or ""."""
        if self._seen == self._warmup + 1:
            self._initial_ratio = max(1.0, loss / chance)
        self._block_steps, self._losses, self._chances = (
            self._block_steps + 1,
            self._losses + loss,
            self._chances + chance,
        )
        if self._block_steps < BLOCK:
            return ""
        ratio, mean, limit = self._ratio(), self._losses / BLOCK, self._limit()
        self._block_steps, self._losses, self._chances = 0, 0.0, 0.0
        if ratio <= limit:
            return ""
        return f"the mean loss of {BLOCK} steps is {mean:.4g}, guessing gives {mean / ratio:.4g}"

    def _ratio(self) -> float:
        return self._losses / self._chances

    def _limit(self) -> float:
        return MAX_RATIO_RECOVERED if self.recoveries else MAX_RATIO * self._initial_ratio

    def recover(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, problem: str) -> None:
        """Restore the last good weights and halve the learning rate.

        Raises
        ------
        TrainingError
            After too many recoveries.
        """
        self.recoveries += 1
        if self.recoveries > MAX_RECOVERIES:
            raise TrainingError(
                f"{problem}, and restoring the last good weights did not help {MAX_RECOVERIES} times; "
                "lower training.learning_rate or training.clip, or check the recordings"
            )
        self.scale *= 0.5
        network.load_state_dict(self.weights)
        optimizer.load_state_dict(copy.deepcopy(self.moments))
        self._smooth = min(self._smooth, self._first)
        self._block_steps, self._losses, self._chances = 0, 0.0, 0.0

    def state(self) -> dict[str, Any]:
        """Return the numbers for a checkpoint (which stores the weights separately)."""
        return {
            "scale": self.scale, "recoveries": self.recoveries, "seen": self._seen, "first": self._first,
            "smooth": self._smooth, "began": self._initial_ratio,
            "block": [self._block_steps, self._losses, self._chances],
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.scale, self.recoveries = float(state["scale"]), int(state["recoveries"])
        self._seen = int(state["seen"])
        self._first, self._smooth = float(state["first"]), float(state["smooth"])
        self._initial_ratio = float(state.get("began", 1.0))
        steps, losses, chances = state.get("block", (0, 0.0, 0.0))  # checkpoints of 0.1.0 have none
        self._block_steps, self._losses, self._chances = int(steps), float(losses), float(chances)
