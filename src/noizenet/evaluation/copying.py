"""Detection of copied training music: the nearest training excerpt to every generated second.

An excerpt is one second: eight columns of chroma and mel (see :mod:`noizenet.evaluation.features`), concatenated and
compared by cosine similarity. Styles repeat and chords are common, so the similarity of generated music is compared
with that of held-out music.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noizenet.evaluation.features import Features
from noizenet.evaluation.intervals import NAN, Estimate, mean_proportion

COLUMNS, STEP = 8, 1
SECOND = COLUMNS * 0.128
THRESHOLD_SHARE = 0.05
"""Share of held-out seconds above the similarity threshold, which is defined by it."""

N_WORST, ROWS = 10, 512
MIN_HELD_OUT, MIN_MADE = 100, 20
"""Least seconds of held-out music for a threshold (five lie above it then), and of music to evaluate."""

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A generated second and the nearest training second: names, positions in seconds, cosine similarity."""

    made: str
    made_s: float
    source: str
    source_s: float
    likeness: float


@dataclass(frozen=True)
class Copying:
    """Similarity of generated and of held-out seconds to training music.

    Attributes
    ----------
    made, real : float32 [N]
        Cosine similarities of generated and of held-out seconds to the nearest training second.
    threshold : float
        Similarity that 5 % of the held-out seconds exceed.
    share : Estimate
        Share of generated seconds above the threshold; 0.05 for music that is as new as held-out music.
    verdict : str
        "copies" if the whole interval of `share` lies above 0.1.
    worst : list of Pair
        The most similar pairs.
    """

    made: F32
    real: F32
    threshold: float
    share: Estimate
    verdict: str
    worst: list[Pair]


class Excerpts:
    """Index of all seconds of the training music, an eighth of a second apart."""

    def __init__(self, recordings: Sequence[Features]) -> None:
        self._names = [r.name for r in recordings]
        cut = [_excerpts(r.chroma_mel, STEP) for r in recordings]
        self._vectors = np.concatenate([np.zeros((0, COLUMNS * 36), np.float32), *cut]).astype(np.float16)
        self._of = np.repeat(np.arange(len(cut)), [len(c) for c in cut])
        self._at = np.concatenate([np.zeros(0, int), *(np.arange(len(c)) * STEP for c in cut)])

    def nearest(self, recording: Features) -> list[Pair]:
        """Return the nearest excerpt to every second of a recording; empty if the training music has no excerpt."""
        if not len(self._vectors):
            return []
        wanted = _excerpts(recording.chroma_mel, COLUMNS)
        best, where = np.full(len(wanted), -2.0, np.float32), np.zeros(len(wanted), int)
        for first in range(0, len(self._vectors), 16 * ROWS):
            part = self._vectors[first : first + 16 * ROWS].astype(np.float32)
            likeness = wanted @ part.T
            at = likeness.argmax(1)
            value = likeness[np.arange(len(wanted)), at]
            better = value > best
            best[better], where[better] = value[better], first + at[better]
        return [
            Pair(
                recording.name, i * SECOND, self._names[self._of[j]], float(self._at[j]) * SECOND / COLUMNS, float(like)
            )
            for i, (j, like) in enumerate(zip(where, best, strict=True))
            if np.square(wanted[i]).sum() > 0.5
        ]  # fmt: skip


def _excerpts(chroma_mel: F32, step: int) -> F32:
    """Return seconds [n, 8 · 36] of unit norm; silent seconds are zeros."""
    if len(chroma_mel) < COLUMNS:
        return np.zeros((0, COLUMNS * 36), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(chroma_mel, COLUMNS, axis=0)[::step]
    flat = windows.reshape(len(windows), -1)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > 0.5, flat / np.maximum(norm, 1e-6), 0).astype(np.float32)


def compare(pairs: Sequence[list[Pair]], real: Sequence[list[Pair]], seed: int = 0, rounds: int = 500) -> Copying:
    """Compare the similarity of generated and of held-out recordings to the training music.

    Parameters
    ----------
    pairs, real : sequence of list of Pair
        Results of :meth:`Excerpts.nearest` for each generated and each held-out recording.
    seed, rounds : int
        Seed and number of bootstrap resamplings.

    Returns
    -------
    Copying
        With too few seconds on either side the share is NaN; with fewer than five recordings there is neither an
        interval nor a verdict.
    """
    held = np.asarray([p.likeness for found in real for p in found], np.float32)
    every = sorted((p for found in pairs for p in found), key=lambda p: -p.likeness)
    made = np.asarray([p.likeness for p in every], np.float32)
    if len(held) < MIN_HELD_OUT or len(every) < MIN_MADE:
        unknown = Estimate(NAN, NAN, NAN, len(every))
        return Copying(made, held, 1.0, unknown, "unknown: too little music to tell", every[:N_WORST])
    threshold = float(np.quantile(held, 1 - THRESHOLD_SHARE))
    found = mean_proportion(
        [np.asarray([p.likeness > threshold for p in one], float) for one in pairs], seed, rounds=rounds
    )
    if found.low > 2 * THRESHOLD_SHARE:
        verdict = "copies"
    else:  # without an interval (NaN) both comparisons are false
        new = found.high <= 2 * THRESHOLD_SHARE or (found.value == 0 and not math.isnan(found.high))
        verdict = "as new as held-out music" if new else "cannot tell"
    return Copying(made, held, threshold, found, verdict, every[:N_WORST])
