"""One training step: forward, backward, clipping, update."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noizenet.model.features import COARSE
from noizenet.model.network import BeatInputs, Network
from noizenet.model.sampling import Sampling
from noizenet.training.options import TrainingOptions
from noizenet.training.windows import Batch

PLAIN = Sampling()
NOTHING = BeatInputs()


class StepResult(NamedTuple):
    """Loss, gradient norm, the state to carry [B, N], and the loss of guessing the same targets."""

    loss: float
    gradient_norm: float
    state: Tensor
    chance: float = math.inf


def to_tensors(batch: Batch, genres: int) -> tuple[Tensor, Tensor, Tensor, BeatInputs]:
    """Return inputs [B, T, ...], targets [B, T, ...], the one-hot genre mix [B, G] and the targets' beat inputs."""
    frames = torch.from_numpy(batch.frames)
    if not frames.is_floating_point():
        frames = frames.int()
    mix = torch.nn.functional.one_hot(torch.from_numpy(batch.genres), max(1, genres)).float()
    conditions = (batch.beat_phase, batch.phrase_beat, batch.lookback_codes)
    beat = BeatInputs(*(None if x is None else torch.from_numpy(x[:, 1:]) for x in conditions))
    return frames[:, :-1], frames[:, 1:], mix, beat


def detach_state(network: Network, state: Tensor, fresh: NDArray[np.bool_]) -> Tensor:
    """Detach the state from the graph; rows that start a segment get the (learned) start state."""
    return torch.where(torch.from_numpy(fresh)[:, None], network.start_state(len(state)), state.detach().float())


def add_noise(inputs: Tensor, noise: float, levels: int) -> Tensor:
    """Add Gaussian noise with a standard deviation of `noise`, in classes if the inputs are classes."""
    if not noise:
        return inputs
    if inputs.is_floating_point():
        return inputs + noise * torch.randn_like(inputs)
    return (inputs + (noise * torch.randn(inputs.shape)).round().int()).clamp(0, levels - 1)


def corrupt_codes(inputs: Tensor, share: float) -> Tensor:
    """Replace codes [B, T, K] by random codes of the same codebook from the batch, as errors to learn from.

    The share of each row is uniform between 0 and twice `share`.
    """
    if not share:
        return inputs
    replaced = torch.rand(inputs.shape) < 2 * share * torch.rand(len(inputs), 1, 1)
    others = inputs.flatten(0, 1)[torch.randperm(len(inputs) * inputs.shape[1])].view_as(inputs)
    return torch.where(replaced, others, inputs)


def drop_condition(condition: Tensor, share: float) -> Tensor:
    """Set a share of the rows of a condition [B, N] to zero, which means unconditional."""
    return condition * (torch.rand(len(condition), 1) >= share) if share else condition


def drop_beat(beat_phase: Tensor | None, share: float) -> Tensor | None:
    """Set the beat phase [B, T] of a share of the rows to 0 (none)."""
    return None if beat_phase is None else drop_condition(beat_phase, share)


def corrupt_lookback(lookback_codes: Tensor | None, share: float) -> Tensor | None:
    """Replace lookback codes [B, T, L, K] as :func:`corrupt_codes` replaces inputs; -1 stays -1."""
    if lookback_codes is None or not share:
        return lookback_codes
    changed = corrupt_codes(lookback_codes.flatten(2), share).view_as(lookback_codes)
    return torch.where((lookback_codes >= 0) & (changed >= 0), changed, lookback_codes)


def drop_lookback(lookback_codes: Tensor | None, share: float) -> Tensor | None:
    """Set the lookback codes [B, T, L, K] of a share of the rows to -1 (none)."""
    if lookback_codes is None or not share:
        return lookback_codes
    return torch.where(torch.rand(len(lookback_codes), 1, 1, 1) >= share, lookback_codes, -1)


def autocast(bf16: bool) -> contextlib.AbstractContextManager[object]:
    """Return a context that runs matrix products in bfloat16 if `bf16`."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()


def jitter_gain(network: Network, inputs: Tensor, spread: float) -> Tensor:
    """Apply a random gain to each row's input classes [B, T, 1].

    The gain is log-normal with a standard deviation of `spread`, one for each row and window. As the level of the
    inputs is then unreliable, the network learns to take it from the coarse features, which keeps the level of
    generated audio from drifting.
    """
    values = getattr(network, "values", None)
    if not spread or values is None:
        return inputs
    gain = torch.exp(spread * torch.randn(len(inputs), 1, 1))
    return torch.bucketize(values[inputs.long()] * gain, (values[1:] + values[:-1]) / 2).to(inputs.dtype)


def scheduled_sampling(
    network: Network, inputs: Tensor, targets: Tensor, mix: Tensor, state: Tensor, probability: float, *, bf16: bool,
    beat: BeatInputs = NOTHING,
) -> Tensor:  # fmt: skip
    """Return inputs of which the first half of the rows holds the network's own samples at random positions.

    This is parallel scheduled sampling in one pass (D. Duckworth et al., 2019, after S. Bengio et al., 2015): each
    sample is drawn given the true past. The network learns to continue from inputs with errors like its own.
    """
    n_rows = len(inputs) // 2
    if probability == 0 or n_rows == 0 or not network.head.distribution:
        return inputs
    with torch.no_grad(), autocast(bf16):
        first = (None if x is None else x[:n_rows] for x in beat)
        _, output, _ = network.compute_loss(inputs[:n_rows], targets[:n_rows], mix[:n_rows], state[:n_rows], *first)
    drawn = network.head.sample(output.flatten(0, 1), torch.default_generator, PLAIN)
    drawn = drawn.reshape(n_rows, -1, drawn.shape[-1])[:, :-1]  # the sample of a frame is the input of the next
    chosen = torch.rand(n_rows, drawn.shape[1], 1) < probability
    changed = inputs.clone()
    changed[:n_rows, 1:] = torch.where(chosen, drawn.to(inputs.dtype), inputs[:n_rows, 1:])
    return changed


def chance(network: Network, targets: Tensor) -> float:
    """Return the loss of guessing targets [B, T, ...]: of a uniform distribution over classes, or of zeros; above 0.

    For networks over classes it is in nats (with tiers: of samples and coarse features, per sample), for networks over
    numbers a mean square or absolute error. It is infinite if the targets are silent.
    """
    a = network.architecture
    if a.kind == "classes":
        coarse = sum(math.log(s.classes) for s in COARSE) / network.frame_multiple if a.has_coarse else 0.0
        return a.dim * math.log(a.levels) + coarse
    error = targets.square().mean() if a.options.loss == "mse" else targets.abs().mean()
    return float(error) or math.inf


def train_step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    state: Tensor,
    options: TrainingOptions,
    *,
    bf16: bool,
) -> StepResult:
    """Train on one window of every row.

    Parameters
    ----------
    network : Network
    optimizer : torch.optim.Optimizer
    batch : Batch
    state : Tensor
        State after the previous window, [B, N].
    options : TrainingOptions
        Its ``clip``, ``input_noise``, ``code_noise``, ``genre_dropout``, ``clock_dropout``, ``lookback_dropout``,
        ``gain_jitter`` and ``scheduled_sampling``.
    bf16 : bool

    Returns
    -------
    StepResult
        If the loss or the gradient is not finite, no update is made.
    """
    inputs, targets, mix, beat = to_tensors(batch, network.architecture.genres)
    inputs = add_noise(inputs, options.input_noise, network.architecture.levels)
    inputs = corrupt_codes(inputs, options.code_noise)
    mix, beat_phase = drop_condition(mix, options.genre_dropout), drop_beat(beat.beat_phase, options.clock_dropout)
    phrase_beat = (
        beat.phrase_beat if beat.phrase_beat is None or beat_phase is None else beat.phrase_beat * (beat_phase > 0)
    )  # dropped in the same rows
    beat = BeatInputs(
        beat_phase,
        phrase_beat,
        drop_lookback(corrupt_lookback(beat.lookback_codes, options.code_noise), options.lookback_dropout),
    )
    inputs = jitter_gain(network, inputs, options.gain_jitter)
    before = detach_state(network, state, batch.fresh)
    inputs = scheduled_sampling(network, inputs, targets, mix, before, options.scheduled_sampling, bf16=bf16, beat=beat)
    with autocast(bf16):
        loss, _, after = network.compute_loss(inputs, targets, mix, before, *beat)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip or float("inf"))
    result = StepResult(float(loss.detach()), float(norm), after.detach().float(), chance(network, targets))
    if np.isfinite(result.loss) and np.isfinite(result.gradient_norm):
        optimizer.step()
    return result
