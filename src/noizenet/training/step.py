"""One step of training: forward, backward, clip, update."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noizenet.model.network import Network
from noizenet.training.windows import Batch


class StepResult(NamedTuple):
    """Loss and gradient norm as numbers, the state to carry [L, S, B, H]."""

    loss: float
    gradient_norm: float
    state: Tensor


def to_tensors(batch: Batch, genres: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs [B, T, ...], targets [B, T, ...] and the one-hot genre mix [B, G]."""
    frames = torch.from_numpy(batch.frames)
    if frames.dtype == torch.int16:
        frames = frames.int()
    mix = torch.nn.functional.one_hot(torch.from_numpy(batch.genres), max(1, genres)).float()
    return frames[:, :-1], frames[:, 1:], mix


def carry(state: Tensor, fresh: NDArray[np.bool_]) -> Tensor:
    """Detach the state and zero the lanes that begin a new segment."""
    keep = torch.from_numpy(~fresh).to(state.dtype)
    return state.detach().float() * keep[None, None, :, None]


def autocast(bf16: bool) -> contextlib.AbstractContextManager[object]:
    """Return the context that runs matrix products in bfloat16 where `bf16`."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()


def train_step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    state: Tensor,
    *,
    clip: float,
    noise: float,
    bf16: bool,
) -> StepResult:
    """Learn from one window of every lane.

    Parameters
    ----------
    network : Network
    optimizer : torch.optim.Optimizer
    batch : Batch
    state : Tensor
        As left by the window before, [L, S, B, H].
    clip : float
        Largest gradient norm; 0: none.
    noise : float
        Standard deviation of Gaussian noise on vector inputs.
    bf16 : bool

    Returns
    -------
    StepResult
        Where loss or gradient is not finite, no update was made.
    """
    inputs, targets, mix = to_tensors(batch, network.architecture.genres)
    if noise and inputs.is_floating_point():
        inputs = inputs + noise * torch.randn_like(inputs)
    with autocast(bf16):
        output, after = network(inputs, mix, carry(state, batch.fresh))
    loss = network.head.loss(output, targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), clip if clip > 0 else float("inf"))
    result = StepResult(float(loss.detach()), float(norm), after.detach().float())
    if np.isfinite(result.loss) and np.isfinite(result.gradient_norm):
        optimizer.step()
    return result
