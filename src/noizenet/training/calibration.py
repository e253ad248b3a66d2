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

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from noizenet.base.seeds import derive_seed
from noizenet.corpus.corpus import Corpus, Track
from noizenet.model.batch import step_batch
from noizenet.model.coarse import coarse_classes
from noizenet.model.features import COARSE
from noizenet.model.sampling import Sampling
from noizenet.model.stepper import Stepper, StepperState
from noizenet.model.weights import F32, Weights
from noizenet.representation.base import Representation
from noizenet.training.windows import WindowReader

ROUNDS, KEPT, STREAMS = 7, 3, 2
"""Rounds of playing; the last whose tilts are averaged; streams of each genre."""

WINDOWS = 8000
"""Stretches of training's music that are measured (one step of the sketch each); a minute or two."""

FIRM = 1.0
"""Variance assumed at least, in classes squared: a sketch that never moves is not to be tilted without limit."""

CHUNK, LEAST_SHARE = 8, 0.1
"""Steps of the sketch that are played at a time; the share of what is asked for that a round needs to tell anything."""

MOST = 0.5
"""Largest tilt, in nats a class: what a network plays need not follow its sketch, as long as it has learned little."""

Means = NDArray[np.float64]


class Calibration(NamedTuple):
    """The pull [M, G, L]; how far the means [G, M] lay from the target in the first and last round, in dB; rounds."""

    logit_bias: F32
    before_db: Means
    after_db: Means
    rounds: int = ROUNDS

    def by_genre(self, genres: Sequence[str]) -> dict[str, dict[str, list[float]]]:
        """Return the distances as plain data; under "all" where genres are not told apart; empty without a round."""
        if not self.rounds:
            return {}
        names = genres if len(genres) == len(self.before_db) else ["all"]
        return {
            name: {"before_db": before.round(2).tolist(), "after_db": after.round(2).tolist()}
            for name, before, after in zip(names, self.before_db, self.after_db, strict=True)
        }


def target_means(
    corpus: Corpus, tracks: Sequence[Track], representation: Representation, step: int, seed: int
) -> Means:
    """Return the mean classes of training's music, [genres, M]; NaN for a genre that is not among it."""
    rows = 16
    reader = WindowReader(
        corpus, tracks, representation,
        batch=rows, window=step, segment_seconds=step / representation.frame_rate, seed=derive_seed(seed, "heard"),
    )  # fmt: skip
    values = representation.values()
    assert values is not None
    genres, found = [], []
    for _ in range(min(WINDOWS // rows, reader.steps_per_epoch)):
        batch = reader.next()
        genres.append(batch.genres)
        found.append(_coarse(values, batch.frames[:, 1:, 0], step)[:, 0])
    return _moments(np.concatenate(found), np.concatenate(genres), len(corpus.genres))[0]


def calibrate(
    weights: Weights,
    start: NDArray[Any],
    target: Means,
    samples: int,
    seed: int,
    on_progress: Callable[[float, str], None] = lambda *_: None,
    time_left: Callable[[], float] | None = None,
) -> Calibration:
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
    on_progress : callable, optional
        Called with the share that is done and what is done now, some times a round; may raise to stop.
    time_left : callable, optional
        Returns the seconds that are left. Rounds are then as long as their part of that time lets them be, `samples` at
        most, and what the rounds so far have found is taken when none is left. Without it a seed settles the same way
        every time.

    Returns
    -------
    Settled
        Where not one round fitted, nothing is pulled and the distances are NaN.
    """
    a = weights.architecture
    step = a.options.tiers[-1][0]
    if not a.genre_size:
        target = np.nanmean(target, 0, keepdims=True)
    owner = np.arange(a.n_bias_rows).repeat(STREAMS)
    tilts = [np.zeros((a.n_bias_rows, len(COARSE)))]
    errors: list[Means] = []
    states: list[StepperState] = []
    length = max(2, samples // step)
    least = max(2, math.ceil(LEAST_SHARE * length))
    for number in range(ROUNDS):
        first = Stepper(
            replace(weights, arrays={**weights.arrays, "coarse.logit_bias": _logit_bias(tilts[-1], target)}), start
        )
        streams = [first.fork() for _ in owner]
        for i, (stream, genre) in enumerate(zip(streams, owner, strict=True)):
            if states:
                stream.restore(states[i])
            else:
                stream.reset(derive_seed(seed, "settling", i))
            if a.genre_size:
                stream.set_genre(np.eye(a.genres)[genre])
        found = _play(streams, weights, _Round(number, length, least, on_progress, time_left))
        if found is None:
            break
        length = found.shape[1]
        states = [stream.save() for stream in streams]
        if number == 0:  # a stream rises from the silence before it
            found = found[:, found.shape[1] // 2 :]
        mean, variance = _moments(found.reshape(-1, len(COARSE)), owner.repeat(found.shape[1]), a.n_bias_rows)
        errors.append(np.nan_to_num(mean - target))
        tilts.append(np.clip(tilts[-1] - errors[-1] / (2 * np.maximum(variance, FIRM)), -MOST, MOST))
    logit_bias = _logit_bias(np.mean((tilts[1:] or tilts)[-KEPT:], 0), target)
    step_db = np.asarray([scale.step_db for scale in COARSE])
    first_error, last_error = (errors[0], errors[-1]) if errors else 2 * (np.full_like(target, np.nan),)
    return Calibration(logit_bias, first_error * step_db, last_error * step_db, len(errors))


def expected_seconds(weights: Weights, start: NDArray[Any], samples: int, clock: Callable[[], float]) -> float:
    """Return about how long :func:`calibrate` will take for so many samples a round, from playing a little of it."""
    a = weights.architecture
    step = a.options.tiers[-1][0]
    first = Stepper(weights, start)
    streams = [first.fork() for _ in range(a.n_bias_rows * STREAMS)]
    step_batch(streams, CHUNK * step, Sampling(a.temperature))  # loops may have to be compiled
    begun = clock()
    step_batch(streams, CHUNK * step, Sampling(a.temperature))
    return (clock() - begun) * ROUNDS * max(2, samples // step) / CHUNK


class _Round(NamedTuple):
    """Which round is played, how many steps of the sketch at most, whom to tell, and how much time there is."""

    number: int
    length: int
    least: int
    on_progress: Callable[[float, str], None]
    time_left: Callable[[], float] | None


def _play(streams: Sequence[Stepper], weights: Weights, now: _Round) -> NDArray[np.int64] | None:
    """Play a round; return the sketches [streams, n, M], or None where time ran out.

    The first round sets the length of the others: it ends when its part of the time is spent. Its first chunk is not
    counted, since loops may have to be compiled for it.
    """
    a = weights.architecture
    step, parts, played = a.options.tiers[-1][0], list[NDArray[Any]](), 0
    part_ends = -np.inf
    while played < now.length:
        left = now.time_left() if now.time_left is not None else np.inf
        if played and left <= 0:
            return None
        if now.number == 0 and played and part_ends == -np.inf:
            part_ends = left - left / ROUNDS
        if played >= now.least and left <= part_ends:
            break
        now.on_progress((now.number + played / now.length) / ROUNDS, f"playing round {now.number + 1} of {ROUNDS}")
        count = min(CHUNK, now.length - played)
        parts.append(step_batch(streams, count * step, Sampling(a.temperature))[..., 0])
        played += count
    return _coarse(weights["values"], np.concatenate(parts, 1), step)


def _logit_bias(tilts: Means, target: Means) -> F32:
    """Return logits [M, G, L] that rise by a tilt [G, M] a class, 0 at the target."""
    rise = np.arange(COARSE[0].classes) - np.nan_to_num(target.T)[..., None]
    return (tilts.T[..., None] * rise).astype(np.float32)


def _coarse(values: F32, classes: NDArray[Any], step: int) -> NDArray[np.int64]:
    """Return the sketches [B, n, M] of sound in classes [B, n · step]."""
    found: NDArray[np.int64] = coarse_classes(torch.from_numpy(values[classes.astype(np.int64)]), step).numpy()
    return found


def _moments(found: NDArray[np.int64], owner: NDArray[np.int64], owners: int) -> tuple[Means, Means]:
    """Return mean and variance [owners, M] of sketches [N, M]; NaN where an owner has none."""
    mean, variance = (np.full((owners, len(COARSE)), np.nan) for _ in range(2))
    for one in np.unique(owner):
        mine = found[owner == one].astype(np.float64)
        mean[one], variance[one] = mine.mean(0), mine.var(0)
    return mean, variance
