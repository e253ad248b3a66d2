"""One step of training: forward, backward, clip, update."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noizenet.model.features import SKETCH
from noizenet.model.network import Beat, Network
from noizenet.model.sampling import Sampling
from noizenet.training.options import TrainingOptions
from noizenet.training.windows import Batch

PLAIN = Sampling()
NOTHING = Beat()


class StepResult(NamedTuple):
    """Loss and gradient norm as numbers, the state to carry [B, N], the loss of guessing the same targets."""

    loss: float
    gradient_norm: float
    state: Tensor
    chance: float = math.inf


def to_tensors(batch: Batch, genres: int) -> tuple[Tensor, Tensor, Tensor, Beat]:
    """Return inputs [B, T, ...], targets [B, T, ...], the one-hot genre mix [B, G] and what is told of the targets."""
    frames = torch.from_numpy(batch.frames)
    if not frames.is_floating_point():
        frames = frames.int()
    mix = torch.nn.functional.one_hot(torch.from_numpy(batch.genres), max(1, genres)).float()
    told = (batch.ticks, batch.places, batch.back)
    return frames[:, :-1], frames[:, 1:], mix, Beat(*(None if x is None else torch.from_numpy(x[:, 1:]) for x in told))


def carry(network: Network, state: Tensor, fresh: NDArray[np.bool_]) -> Tensor:
    """Cut the gradient, and send the lanes that begin a new segment to the (learned) start."""
    return torch.where(torch.from_numpy(fresh)[:, None], network.start_state(len(state)), state.detach().float())


def disturb(inputs: Tensor, noise: float, levels: int) -> Tensor:
    """Add Gaussian noise to inputs: its standard deviation is `noise` for numbers, `noise` classes for classes."""
    if not noise:
        return inputs
    if inputs.is_floating_point():
        return inputs + noise * torch.randn_like(inputs)
    return (inputs + (noise * torch.randn(inputs.shape)).round().int()).clamp(0, levels - 1)


def mistake(inputs: Tensor, share: float) -> Tensor:
    """Replace codes [B, T, K] by codes of the same book from elsewhere in the batch: errors are met in training.

    Each lane has a share of its own, uniform from 0 to twice `share`.
    """
    if not share:
        return inputs
    hit = torch.rand(inputs.shape) < 2 * share * torch.rand(len(inputs), 1, 1)
    elsewhere = inputs.flatten(0, 1)[torch.randperm(len(inputs) * inputs.shape[1])].view_as(inputs)
    return torch.where(hit, elsewhere, inputs)


def forget(told: Tensor, share: float) -> Tensor:
    """Turn a share of the rows [B, N] of what is told to zeros: of genre mixes they stand for any genre."""
    return told * (torch.rand(len(told), 1) >= share) if share else told


def untold(ticks: Tensor | None, share: float) -> Tensor | None:
    """Keep the beat [B, T] from a share of the lanes."""
    return None if ticks is None else forget(ticks, share)


def corrupt_lookback(back: Tensor | None, share: float) -> Tensor | None:
    """Replace codes of some beats ago [B, T, L, K] as :func:`mistake` does inputs; where nothing lies nothing comes."""
    if back is None or not share:
        return back
    changed = mistake(back.flatten(2), share).view_as(back)
    return torch.where((back >= 0) & (changed >= 0), changed, back)


def drop_lookback(back: Tensor | None, share: float) -> Tensor | None:
    """Keep the codes of some beats ago [B, T, L, K] from a share of the lanes."""
    if back is None or not share:
        return back
    return torch.where(torch.rand(len(back), 1, 1, 1) >= share, back, -1)


def autocast(bf16: bool) -> contextlib.AbstractContextManager[object]:
    """Return the context that runs matrix products in bfloat16 where `bf16`."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()


def jitter_gain(network: Network, inputs: Tensor, spread: float) -> Tensor:
    """Play each lane's input classes [B, T, 1] a little louder or softer than they are.

    The gain is log-normal with a standard deviation of `spread`, one for each lane and window. A network that cannot
    trust the level of its past takes it from what else it knows (the sketch), and so finds back to it when it plays.
    """
    values = getattr(network, "values", None)
    if not spread or values is None:
        return inputs
    gain = torch.exp(spread * torch.randn(len(inputs), 1, 1))
    return torch.bucketize(values[inputs.long()] * gain, (values[1:] + values[:-1]) / 2).to(inputs.dtype)


def own_samples(
    network: Network, inputs: Tensor, targets: Tensor, mix: Tensor, state: Tensor, probability: float, *, bf16: bool,
    beat: Beat = NOTHING,
) -> Tensor:  # fmt: skip
    """Return inputs of which the first half of the lanes holds the network's own draws at random places.

    Parallel scheduled sampling in one pass (D. Duckworth et al., 2019, after S. Bengio et al., 2015): each draw is made
    from the true past. The network so learns to go on from histories that are as wrong as its own will be.
    """
    lanes = len(inputs) // 2
    if probability == 0 or lanes == 0 or not network.head.distribution:
        return inputs
    with torch.no_grad(), autocast(bf16):
        told = (None if x is None else x[:lanes] for x in beat)
        _, output, _ = network.nats(inputs[:lanes], targets[:lanes], mix[:lanes], state[:lanes], *told)
    drawn = network.head.sample(output.flatten(0, 1), torch.default_generator, PLAIN)
    drawn = drawn.reshape(lanes, -1, drawn.shape[-1])[:, :-1]  # the draw for a frame is the input of the next
    chosen = torch.rand(lanes, drawn.shape[1], 1) < probability
    changed = inputs.clone()
    changed[:lanes, 1:] = torch.where(chosen, drawn.to(inputs.dtype), inputs[:lanes, 1:])
    return changed


def chance(network: Network, targets: Tensor) -> float:
    """Return the loss of guessing targets [B, T, ...]: of all classes alike, or of zeros for numbers; above 0.

    For networks over classes a cost in nats (with tiers: of the samples and of the sketch, per sample), for networks
    over numbers a mean square or absolute error. Infinite where the targets are silent.
    """
    a = network.architecture
    if a.kind == "classes":
        sketch = sum(math.log(s.classes) for s in SKETCH) / network.granule if a.sketches else 0.0
        return a.dim * math.log(a.levels) + sketch
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
    """Learn from one window of every lane.

    Parameters
    ----------
    network : Network
    optimizer : torch.optim.Optimizer
    batch : Batch
    state : Tensor
        As left by the window before, [B, N].
    options : TrainingOptions
        Its ``clip``, ``input_noise``, ``code_noise``, ``genre_dropout``, ``clock_dropout``, ``lookback_dropout``,
        ``gain_jitter`` and ``own_samples``.
    bf16 : bool

    Returns
    -------
    StepResult
        Where loss or gradient is not finite, no update was made.
    """
    inputs, targets, mix, beat = to_tensors(batch, network.architecture.genres)
    inputs = disturb(inputs, options.input_noise, network.architecture.levels)
    inputs = mistake(inputs, options.code_noise)
    mix, ticks = forget(mix, options.genre_dropout), untold(beat.ticks, options.clock_dropout)
    places = beat.places if beat.places is None or ticks is None else beat.places * (ticks > 0)  # of the same lanes
    beat = Beat(ticks, places, drop_lookback(corrupt_lookback(beat.back, options.code_noise), options.lookback_dropout))
    inputs = jitter_gain(network, inputs, options.gain_jitter)
    before = carry(network, state, batch.fresh)
    inputs = own_samples(network, inputs, targets, mix, before, options.own_samples, bf16=bf16, beat=beat)
    with autocast(bf16):
        loss, _, after = network.nats(inputs, targets, mix, before, *beat)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip or float("inf"))
    result = StepResult(float(loss.detach()), float(norm), after.detach().float(), chance(network, targets))
    if np.isfinite(result.loss) and np.isfinite(result.gradient_norm):
        optimizer.step()
    return result
