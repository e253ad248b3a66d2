"""Settling: a network plays to itself, and its sketch is pulled to where training's music lies.

Trained on one step after another, a sketch is right at every step and yet, fed back, comes to rest where music does
not: several dB too soft, say, since falling back is worth next to nothing to the likelihood of a step. So after
training each genre is played; each measure's mean is compared with that of the genre's own music, and the logits of
each measure are tilted, v ↦ a · v, until both agree. Of all changes of a distribution that move its mean, a tilt moves
it with the least divergence (I. Csiszár, 1975), so it costs the likelihood of real music next to nothing.

The step of each round is Newton's for a first-order autoregression with a memory far longer than its step: there a tilt
of `a` moves the mean by 2 · a · the variance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from noizenet.base.seeds import derive_seed
from noizenet.corpus.corpus import Corpus, Track
from noizenet.model.features import SKETCH
from noizenet.model.sampling import Sampling
from noizenet.model.sketch import sketches_of
from noizenet.model.stepper import Stepper, StepperState
from noizenet.model.together import step_together
from noizenet.model.weights import F32, Weights
from noizenet.representation.base import Representation
from noizenet.training.windows import WindowReader

ROUNDS, KEPT, STREAMS = 7, 3, 2
"""Rounds of playing; the last whose tilts are averaged; streams of each genre."""

WINDOWS = 8000
"""Stretches of training's music that are measured (one step of the sketch each); a minute or two."""

FIRM = 1.0
"""Variance assumed at least, in classes squared: a sketch that never moves is not to be tilted without limit."""

MOST = 0.5
"""Largest tilt, in nats a class: what a network plays need not follow its sketch, as long as it has learned little."""

Means = NDArray[np.float64]


class Settled(NamedTuple):
    """The pull [M, G, L], and how far the means [G, M] lay from the target in the first and the last round, in dB."""

    pull: F32
    before_db: Means
    after_db: Means

    def by_genre(self, genres: Sequence[str]) -> dict[str, dict[str, list[float]]]:
        """Return the distances as plain data; under "all" where genres are not told apart."""
        names = genres if len(genres) == len(self.before_db) else ["all"]
        return {
            name: {"before_db": before.round(2).tolist(), "after_db": after.round(2).tolist()}
            for name, before, after in zip(names, self.before_db, self.after_db, strict=True)
        }


def heard(corpus: Corpus, tracks: Sequence[Track], representation: Representation, step: int, seed: int) -> Means:
    """Return the mean classes of training's music, [genres, M]; NaN for a genre that is not among it."""
    lanes = 16
    reader = WindowReader(
        corpus, tracks, representation,
        batch=lanes, window=step, segment_seconds=step / representation.frame_rate, seed=derive_seed(seed, "heard"),
    )  # fmt: skip
    values = representation.values()
    assert values is not None
    genres, found = [], []
    for _ in range(min(WINDOWS // lanes, reader.steps_per_epoch)):
        batch = reader.next()
        genres.append(batch.genres)
        found.append(_sketches(values, batch.frames[:, 1:, 0], step)[:, 0])
    return _moments(np.concatenate(found), np.concatenate(genres), len(corpus.genres))[0]


def settle(
    weights: Weights,
    start: NDArray[Any],
    target: Means,
    samples: int,
    seed: int,
    on_round: Callable[[int], None] = lambda _: None,
) -> Settled:
    """Find the pull that brings what a network plays to a target.

    Parameters
    ----------
    weights : Weights
        Of a network with tiers and a sketch.
    start : ndarray
        The frame [1, 1] that precedes every track.
    target : ndarray
        Mean classes [genres, M]; NaN where there is none, and nothing is pulled.
    samples : int
        That each of a genre's streams plays in each round.
    seed : int
    on_round : callable, optional
        Called with each round's number; may raise to stop.

    Returns
    -------
    Settled
    """
    a = weights.architecture
    step = a.options.tiers[-1][0]
    if not a.genre_size:
        target = np.nanmean(target, 0, keepdims=True)
    owner = np.arange(a.pulled).repeat(STREAMS)
    tilts = [np.zeros((a.pulled, len(SKETCH)))]
    errors: list[Means] = []
    states: list[StepperState] = []
    for number in range(ROUNDS):
        on_round(number)
        first = Stepper(replace(weights, arrays={**weights.arrays, "sketch.pull": _pull(tilts[-1], target)}), start)
        streams = [first.fork() for _ in owner]
        for i, (stream, genre) in enumerate(zip(streams, owner, strict=True)):
            if states:
                stream.restore(states[i])
            else:
                stream.reset(derive_seed(seed, "settling", i))
            if a.genre_size:
                stream.set_genre(np.eye(a.genres)[genre])
        frames = step_together(streams, max(2, samples // step) * step, Sampling(a.temperature))[..., 0]
        states = [stream.save() for stream in streams]
        found = _sketches(weights["values"], frames, step)
        if number == 0:  # a stream rises from the silence before it
            found = found[:, found.shape[1] // 2 :]
        mean, variance = _moments(found.reshape(-1, len(SKETCH)), owner.repeat(found.shape[1]), a.pulled)
        errors.append(np.nan_to_num(mean - target))
        tilts.append(np.clip(tilts[-1] - errors[-1] / (2 * np.maximum(variance, FIRM)), -MOST, MOST))
    step_db = np.asarray([scale.step_db for scale in SKETCH])
    return Settled(_pull(np.mean(tilts[-KEPT:], 0), target), errors[0] * step_db, errors[-1] * step_db)


def _pull(tilts: Means, target: Means) -> F32:
    """Return logits [M, G, L] that rise by a tilt [G, M] a class, 0 at the target."""
    rise = np.arange(SKETCH[0].classes) - np.nan_to_num(target.T)[..., None]
    return (tilts.T[..., None] * rise).astype(np.float32)


def _sketches(values: F32, classes: NDArray[Any], step: int) -> NDArray[np.int64]:
    """Return the sketches [B, n, M] of sound in classes [B, n · step]."""
    found: NDArray[np.int64] = sketches_of(torch.from_numpy(values[classes.astype(np.int64)]), step).numpy()
    return found


def _moments(found: NDArray[np.int64], owner: NDArray[np.int64], owners: int) -> tuple[Means, Means]:
    """Return mean and variance [owners, M] of sketches [N, M]; NaN where an owner has none."""
    mean, variance = (np.full((owners, len(SKETCH)), np.nan) for _ in range(2))
    for one in np.unique(owner):
        mine = found[owner == one].astype(np.float64)
        mean[one], variance[one] = mine.mean(0), mine.var(0)
    return mean, variance
