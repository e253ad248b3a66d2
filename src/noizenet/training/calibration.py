"""Calibration of the coarse features: logit biases that match generated audio to the training music.

A prior over coarse features that is trained with teacher forcing predicts each step well, but in free running its mean
can drift from that of music, for instance to a level several dB too low: the likelihood of one step hardly depends on
such a drift. So after training, audio is generated for each genre; each feature's mean is compared with that of the
genre's training music, and the feature's logits are tilted, v ↦ a · v, until both agree. Of all changes of a
distribution that move its mean, a tilt has the least divergence (I. Csiszár, 1975), so it hardly changes the likelihood
of real music.

Each round takes a Newton step for a first-order autoregression whose memory is far longer than one step: there a tilt
of `a` moves the mean by 2 · a · variance.
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
from noizenet.model.sampling import Sampling, default_sampling
from noizenet.model.stepper import Stepper, StepperState
from noizenet.model.weights import F32, Weights
from noizenet.representation.base import Representation
from noizenet.training.windows import WindowReader

ROUNDS, AVERAGED_ROUNDS, STREAMS = 7, 3, 2
"""Rounds of generation; number of last rounds whose tilts are averaged; streams of each genre."""

WINDOWS = 8000
"""Segments of the training music that are measured (one coarse step each); a minute or two."""

MIN_VARIANCE = 1.0
"""Lower limit of the variance, in classes squared: bounds the tilt of features that never change."""

CHUNK, MIN_SHARE = 8, 0.1
"""Coarse steps generated at a time; least share of the requested length for a useful round."""

MAX_TILT = 0.5
"""Largest tilt, in nats a class: the audio of a barely trained network need not follow its coarse features."""

Means = NDArray[np.float64]


class Calibration(NamedTuple):
    """Logit biases [M, G, L]; distances of the means [G, M] from the target before and after, in dB; rounds."""

    logit_bias: F32
    before_db: Means
    after_db: Means
    rounds: int = ROUNDS

    def by_genre(self, genres: Sequence[str]) -> dict[str, dict[str, list[float]]]:
        """Return the distances as plain data; key "all" for models without genres; empty without a round."""
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
    """Return the mean classes of the training music, [genres, M]; NaN for a genre without tracks."""
    rows = 16
    reader = WindowReader(
        corpus, tracks, representation, batch=rows, window=step, segment_seconds=step / representation.frame_rate,
        seed=derive_seed(seed, "heard"),  # the labels of seeds decide the result, so they never change
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
    """Find logit biases that move the mean coarse features of generated audio to a target.

    Parameters
    ----------
    weights : Weights
        Of a network with tiers and coarse features.
    start : ndarray
        The frame [1, 1] that precedes every track.
    target : ndarray
        Mean classes [genres, M]; where NaN, the bias is zero.
    samples : int
        Samples that each stream generates in each round.
    seed : int
    on_progress : callable, optional
        Called several times a round with the share done and a description of the current work; may raise to stop.
    time_left : callable, optional
        Returns the seconds left. It limits the length of the rounds, and calibration ends with the rounds so far when
        none is left. Without it the result depends only on the other parameters.

    Returns
    -------
    Calibration
        If there was no time for a single round, the biases are zero and the distances NaN.
    """
    a = weights.architecture
    step = a.options.tiers[-1][0]
    if not a.genre_size:
        target = np.nanmean(target, 0, keepdims=True)
    genre_of = np.arange(a.n_bias_rows).repeat(STREAMS)
    tilts = [np.zeros((a.n_bias_rows, len(COARSE)))]
    errors: list[Means] = []
    states: list[StepperState] = []
    length = max(2, samples // step)
    least = max(2, math.ceil(MIN_SHARE * length))
    for number in range(ROUNDS):
        first = Stepper(
            replace(weights, arrays={**weights.arrays, "coarse.logit_bias": _logit_bias(tilts[-1], target)}), start
        )
        streams = [first.fork() for _ in genre_of]
        for i, (stream, genre) in enumerate(zip(streams, genre_of, strict=True)):
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
        if number == 0:  # a stream starts from silence
            found = found[:, found.shape[1] // 2 :]
        mean, variance = _moments(found.reshape(-1, len(COARSE)), genre_of.repeat(found.shape[1]), a.n_bias_rows)
        errors.append(np.nan_to_num(mean - target))
        tilts.append(np.clip(tilts[-1] - errors[-1] / (2 * np.maximum(variance, MIN_VARIANCE)), -MAX_TILT, MAX_TILT))
    logit_bias = _logit_bias(np.mean((tilts[1:] or tilts)[-AVERAGED_ROUNDS:], 0), target)
    step_db = np.asarray([scale.step_db for scale in COARSE])
    first_error, last_error = (errors[0], errors[-1]) if errors else 2 * (np.full_like(target, np.nan),)
    return Calibration(logit_bias, first_error * step_db, last_error * step_db, len(errors))


def expected_seconds(weights: Weights, start: NDArray[Any], samples: int, clock: Callable[[], float]) -> float:
    """Return about how long :func:`calibrate` takes for `samples` a round, in seconds of `clock`, from a short run."""
    a = weights.architecture
    step = a.options.tiers[-1][0]
    first = Stepper(weights, start)
    streams = [first.fork() for _ in range(a.n_bias_rows * STREAMS)]
    step_batch(streams, CHUNK * step, Sampling(default_sampling(a).temperature))  # loops may have to be compiled
    begun = clock()
    step_batch(streams, CHUNK * step, Sampling(default_sampling(a).temperature))
    return (clock() - begun) * ROUNDS * max(2, samples // step) / CHUNK


class _Round(NamedTuple):
    """Number of a round, its largest and smallest length in coarse steps, and the callbacks of :func:`calibrate`."""

    number: int
    length: int
    least: int
    on_progress: Callable[[float, str], None]
    time_left: Callable[[], float] | None


def _play(streams: Sequence[Stepper], weights: Weights, current: _Round) -> NDArray[np.int64] | None:
    """Generate a round; return its coarse features [streams, n, M], or None if time ran out.

    The first round sets the length of the others: it ends when its share of the time is spent. Its first chunk does not
    count, since loops may have to be compiled for it.
    """
    a = weights.architecture
    step, parts, played = a.options.tiers[-1][0], list[NDArray[Any]](), 0
    part_ends = -np.inf
    while played < current.length:
        left = current.time_left() if current.time_left is not None else np.inf
        if played and left <= 0:
            return None
        if current.number == 0 and played and part_ends == -np.inf:
            part_ends = left - left / ROUNDS
        if played >= current.least and left <= part_ends:
            break
        current.on_progress(
            (current.number + played / current.length) / ROUNDS, f"playing round {current.number + 1} of {ROUNDS}"
        )
        count = min(CHUNK, current.length - played)
        parts.append(step_batch(streams, count * step, Sampling(default_sampling(a).temperature))[..., 0])
        played += count
    return _coarse(weights["values"], np.concatenate(parts, 1), step)


def _logit_bias(tilts: Means, target: Means) -> F32:
    """Return logits [M, G, L] that rise by a tilt [G, M] per class and are 0 at the target."""
    rise = np.arange(COARSE[0].classes) - np.nan_to_num(target.T)[..., None]
    return (tilts.T[..., None] * rise).astype(np.float32)


def _coarse(values: F32, classes: NDArray[Any], step: int) -> NDArray[np.int64]:
    """Return the coarse features [B, n, M] of samples in classes [B, n · step]."""
    found: NDArray[np.int64] = coarse_classes(torch.from_numpy(values[classes.astype(np.int64)]), step).numpy()
    return found


def _moments(found: NDArray[np.int64], genre_of: NDArray[np.int64], n_genres: int) -> tuple[Means, Means]:
    """Return mean and variance [n_genres, M] of coarse features [N, M]; NaN for a genre without any."""
    mean, variance = (np.full((n_genres, len(COARSE)), np.nan) for _ in range(2))
    for genre in np.unique(genre_of):
        rows = found[genre_of == genre].astype(np.float64)
        mean[genre], variance[genre] = rows.mean(0), rows.var(0)
    return mean, variance
