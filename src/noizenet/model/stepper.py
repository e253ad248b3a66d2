"""One stream of a network: run by a compiled loop; its state can be saved, restored and forked."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.model.engine import Engine
from noizenet.model.features import COARSE
from noizenet.model.sampling import Sampling
from noizenet.model.weights import F32, Weights

if TYPE_CHECKING:
    from noizenet.model.network import Network

DEFAULT_SAMPLING = Sampling()


@dataclass(frozen=True)
class StepperState:
    """Snapshot of a stream: the network's memory, the position, and the states of the random generators."""

    memory: dict[str, NDArray[Any]]
    position: int
    generators: list[dict[str, Any]]


class Stepper:
    """One stream of a network.

    Parameters
    ----------
    source : Weights or Network
        A network's weights are copied; later training does not change the stepper.
    start : ndarray
        The frame [1, ...] before the start of a track (the representation's silence).
    seed : int
        Seed of the random generators.
    precision : str
        Of the matrices: ``fp32``, ``bf16`` or ``int8`` (biases, states and sums are float32).

    Notes
    -----
    In ``fp32`` equal to ``Network.forward`` within 1e-4 absolute on outputs over 10,000 forced steps
    (tests/test_stepper.py). The result does not depend on how a stream is divided into calls of :meth:`run`.
    """

    def __init__(
        self, source: Weights | Network, start: NDArray[Any], seed: int = 0, *, precision: str = "fp32"
    ) -> None:
        weights = source if isinstance(source, Weights) else Weights.of(source)
        self._a = weights.architecture
        self.engine = make_engine(weights, start, precision)
        self.reset(seed)
        self.set_genre(np.full(self._a.genres, 1.0 / max(1, self._a.genres), np.float32))

    def reset(self, seed: int = 0) -> None:
        """Reset to the start of a track, with newly seeded random generators."""
        self.engine.reset()
        self._position = 0
        self._set_generators([np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)])

    def _set_generators(self, generators: list[np.random.Generator]) -> None:
        """Set the random generators: of frames, of injected noise, and of coarse features."""
        self._generators = generators
        self._frame_rng, self._noise_rng, self._coarse_rng = generators

    def restart(self) -> None:
        """Reset to the start of a track; the random generators continue."""
        self.engine.reset()

    def set_genre(self, mix: NDArray[np.floating]) -> None:
        """Set the genre mix [G]; it takes effect at the next frame (or a tier's next step)."""
        if len(mix) != self._a.genres:
            raise UsageError(f"a genre mix of {len(mix)} numbers, expected {self._a.genres}")
        self.engine.set_genre(np.asarray(mix, np.float32))

    def set_pace(self, beats_per_frame: float, phase: float | None = None) -> None:
        """Set the beats per frame (0: no beat conditioning) and the position in beats of the next frame's start.

        Without a `phase` the clock continues from its position. A network without a clock ignores the call.
        """
        self.engine.set_pace(beats_per_frame, phase)

    def run(
        self,
        count: int,
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        inject_every: int = 0,
        inject_amount: float = 0.0,
    ) -> NDArray[Any]:
        """Generate `count` frames.

        Parameters
        ----------
        count : int
            Frames.
        sampling : Sampling
            Ignored by point heads, which do not sample.
        inject_every, inject_amount : int, float
            Add Gaussian noise to every `inject_every`-th frame before it is fed back. The unit of the amount is the
            standard deviation of the training music for vectors, and half of the class range for classes; for codes it
            is the share of codes that are replaced. 0: never.

        Returns
        -------
        ndarray
            int16 or int32 [count, K], or float32 [count, D].
        """
        return self._advance(count, None, sampling, inject_every, inject_amount, record=False)[0]

    def prefill(self, frames: NDArray[Any]) -> None:
        """Teacher-forced prefill: run over given frames [n, ...] to set the state."""
        self._advance(len(frames), frames, DEFAULT_SAMPLING, 0, 0.0, record=False)

    def predict(self, frames: NDArray[Any]) -> F32:
        """Run over given frames; return the prediction of each of them, [n, O]."""
        return self._advance(len(frames), frames, DEFAULT_SAMPLING, 0, 0.0, record=True)[1]

    def save(self) -> StepperState:
        """Return a copy of the stream's state."""
        return StepperState(
            {k: v.copy() for k, v in self.engine.memory.items()}, self._position,
            [copy.deepcopy(dict(g.bit_generator.state)) for g in self._generators],
        )  # fmt: skip

    def restore(self, state: StepperState, *, randomness: bool = True) -> None:
        """Restore a saved state; generation repeats from there.

        With ``randomness=False`` only the network's memory is restored. The random generators continue, so another
        continuation is generated.
        """
        self.engine.memory = {k: v.copy() for k, v in state.memory.items()}
        self._position = state.position
        if randomness:
            for generator, saved in zip(self._generators, state.generators, strict=True):
                generator.bit_generator.state = copy.deepcopy(saved)

    def reseed(self, seed: int) -> None:
        """Reseed the random generators without changing the network's state."""
        self._set_generators([np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)])

    def fork(self) -> Stepper:
        """Return a second stream that shares the weights and starts from a copy of the state."""
        other = copy.copy(self)
        other.engine = self.engine.fork()
        other._set_generators(copy.deepcopy(self._generators))
        return other

    def shares_tokens(self, other: Stepper) -> bool:
        """Return whether both share one token network's packed weights, so that a batch of them is exact."""
        return self.engine.shares_tokens(other.engine)

    def pop_nll(self) -> float | None:
        """Return the mean NLL in bits per frame of drawn or forced frames since the last call; None for vectors.

        It is under the network's distribution (temperature 1, no truncation). Networks over single classes sample it at
        every 16th frame.
        """
        nats, frames = self.engine.nll_sum
        self.engine.nll_sum[:] = 0
        return float(nats / frames / math.log(2)) if frames else None

    @property
    def bytes_per_frame(self) -> float:
        """Bytes of weights that a frame reads, on average."""
        return self.engine.bytes_per_frame

    def draw(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the uniform numbers of the next `count` frames, [count] or [count, K], and coarse features, [n, 3]."""
        drawn = self._frame_rng.random(count if self._a.dim == 1 else (count, self._a.dim))
        return drawn, self._coarse_rng.random((self.engine.coarse_steps(count), len(COARSE)))

    def advance(self, count: int) -> None:
        """Advance the position by `count` frames that were generated elsewhere (see :mod:`noizenet.model.batch`)."""
        self._position += count

    def _advance(
        self,
        count: int,
        forced: NDArray[Any] | None,
        sampling: Sampling,
        every: int,
        amount: float,
        *,
        record: bool,
    ) -> tuple[NDArray[Any], F32]:
        recorded = np.zeros((count if record else 0, self._a.outputs), np.float32)
        noise = self._noise(count, every, amount)
        drawn = forced is None and self._a.kind == "classes"
        uniforms, coarse = self.draw(count) if drawn else (np.zeros(0), np.zeros((0, len(COARSE))))
        out = self.engine.run(count, forced, uniforms, coarse, noise, sampling, recorded)
        self._position += count
        return out, recorded

    def _noise(self, count: int, every: int, amount: float) -> F32:
        """Return the noise of the next frames, [count, D], or [0, D] for none."""
        width = self._a.dim
        if every <= 0 or amount == 0:
            return np.zeros((0, width), np.float32)
        # Depends on the position in the stream, not in the call.
        hit = (self._position + np.arange(count)) % every == every - 1
        if self._a.tokens:  # codes have no order: replace them instead of adding to them
            values = np.full((count, width), -1, np.float32)
            random = self._noise_rng.random((int(hit.sum()), 2, width))
            values[hit] = np.where(random[:, 0] < amount, np.floor(random[:, 1] * self._a.levels), -1)
            return values
        values = np.zeros((count, width), np.float32)
        scale = amount * (self._a.levels / 2 if self._a.kind == "classes" else 1.0)
        values[hit] = self._noise_rng.standard_normal((int(hit.sum()), width), np.float32) * scale
        return np.rint(values) if self._a.kind == "classes" else values


def make_engine(weights: Weights, start: NDArray[Any], precision: str) -> Engine:
    """Return the engine for the kind of network."""
    if weights.architecture.tokens:
        from noizenet.model.engine_tokens import TokenEngine

        return TokenEngine(weights, start, precision)
    if weights.architecture.options.tiers:
        from noizenet.model.engine_tiered import TieredEngine

        return TieredEngine(weights, start, precision)
    from noizenet.model.engine_plain import PlainEngine

    return PlainEngine(weights, start, precision)
