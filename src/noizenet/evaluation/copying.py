"""Is it new? The nearest excerpt of the training music to every generated second.

An excerpt is eight columns of chroma and mel (see :mod:`noizenet.evaluation.extract_features`), one second, laid end to
end and compared by cosine: 1 for the same sound. What counts is how near generated music lies beside how near real
music lies that no training saw: styles repeat themselves, and a common chord is no theft.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noizenet.evaluation.features import Features
from noizenet.evaluation.intervals import NAN, Estimate, share

COLUMNS, STEP = 8, 1
SECOND = COLUMNS * 0.128
COPIED = 0.05
"""Of real held-out seconds this share is nearer to the training music than the threshold of copying, by definition."""

WORST, ROWS = 10, 512
LEAST_HELD, LEAST_MADE = 100, 20
"""Seconds of held-out music that a threshold needs (five lie above it then), and of music to be judged."""

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A generated second and the training second nearest to it: names, places in seconds, likeness in [-1, 1]."""

    made: str
    made_s: float
    source: str
    source_s: float
    likeness: float


@dataclass(frozen=True)
class Copying:
    """Likeness of generated and of held-out real seconds to training music.

    ``share`` is the part of generated seconds that are nearer to it than all but 5 % of real held-out ones;
    music that is as new as those has 0.05. ``verdict`` is "copies" where its whole interval lies above 0.1.
    """

    made: F32
    real: F32
    threshold: float
    share: Estimate
    verdict: str
    worst: list[Pair]


class Excerpts:
    """All seconds of the training music, an eighth of a second apart."""

    def __init__(self, recordings: Sequence[Features]) -> None:
        self._names = [r.name for r in recordings]
        cut = [_excerpts(r.fine, STEP) for r in recordings]
        self._vectors = np.concatenate([np.zeros((0, COLUMNS * 36), np.float32), *cut]).astype(np.float16)
        self._of = np.repeat(np.arange(len(cut)), [len(c) for c in cut])
        self._at = np.concatenate([np.zeros(0, int), *(np.arange(len(c)) * STEP for c in cut)])

    def nearest(self, recording: Features) -> list[Pair]:
        """Return the nearest excerpt for every second of a recording; none where the training music has no second."""
        if not len(self._vectors):
            return []
        wanted = _excerpts(recording.fine, COLUMNS)
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


def _excerpts(fine: F32, step: int) -> F32:
    """Return seconds [n, 8 · 36] of unit length, or of none where there is nothing to hear."""
    if len(fine) < COLUMNS:
        return np.zeros((0, COLUMNS * 36), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(fine, COLUMNS, axis=0)[::step]
    flat = windows.reshape(len(windows), -1)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > 0.5, flat / np.maximum(norm, 1e-6), 0).astype(np.float32)


def compare(pairs: Sequence[list[Pair]], real: Sequence[list[Pair]], seed: int = 0, rounds: int = 500) -> Copying:
    """Judge whether generated recordings copy the training music more than held-out real ones resemble it.

    Both sides are what :meth:`Excerpts.nearest` finds, recording by recording. From too few seconds of either there is
    no share (NaN), and from fewer than five recordings no interval and no verdict.
    """
    held = np.asarray([p.likeness for found in real for p in found], np.float32)
    every = sorted((p for found in pairs for p in found), key=lambda p: -p.likeness)
    made = np.asarray([p.likeness for p in every], np.float32)
    if len(held) < LEAST_HELD or len(every) < LEAST_MADE:
        nothing = Estimate(NAN, NAN, NAN, len(every))
        return Copying(made, held, 1.0, nothing, "unknown: too little music to tell", every[:WORST])
    threshold = float(np.quantile(held, 1 - COPIED))
    found = share([np.asarray([p.likeness > threshold for p in one], float) for one in pairs], seed, rounds=rounds)
    if found.low > 2 * COPIED:
        verdict = "copies"
    else:  # without an interval no comparison holds
        new = found.high <= 2 * COPIED or (found.value == 0 and not math.isnan(found.high))
        verdict = "as new as held-out music" if new else "cannot tell"
    return Copying(made, held, threshold, found, verdict, every[:WORST])
