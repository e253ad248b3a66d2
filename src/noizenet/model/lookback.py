"""Find the frames a number of beats ago from positions in beats, for training and generation alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STEPS_PER_BEAT = 32
"""Resolution at which positions are compared."""
UNKNOWN = np.iinfo(np.int64).min
"""Step of a frame without a known beat."""
TOLERANCE = STEPS_PER_BEAT // 2
"""A frame matches only if it is less than this number of steps after the wanted position."""
FRAMES_PER_BEAT = 66
"""Frames of history for each beat of the longest lookback: enough for a codec's 21.5 frames a second at 20 beats a
minute, the slowest tempo."""

Ints = NDArray[np.int64]


def steps_of(positions: NDArray[np.floating]) -> Ints:
    """Return positions in beats as whole steps, :data:`STEPS_PER_BEAT` per beat; :data:`UNKNOWN` for NaN.

    Examples
    --------
    >>> steps_of(np.array([0.0, 1.26])).tolist()
    [0, 40]
    """
    known = ~np.isnan(positions)
    steps = np.full(positions.shape, UNKNOWN, np.int64)
    steps[known] = np.floor(positions[known] * STEPS_PER_BEAT)
    return steps


def frames_before(steps: Ints, beats: Sequence[int], count: int, reach: int) -> Ints:
    """Return the indices of the frames a number of beats before each of the last frames.

    That is the first frame whose step is not before the wanted position, as in the Lookback RNN, whose inputs are the
    events of one and two bars ago (E. Waite, "Generating long-term structure in songs and stories", Magenta, 2016).

    Parameters
    ----------
    steps : ndarray, int64 [n]
        Steps of all frames, non-decreasing where they are known (see :func:`steps_of`).
    beats : sequence of int
        L distances.
    count : int
        Number of last frames to search for.
    reach : int
        Only fewer than `reach` frames back are searched, so that the result does not depend on how a stream is divided
        into calls.

    Returns
    -------
    ndarray, int64 [count, L]
        Indices into `steps`; -1 where no beat is known or no frame matches.

    Examples
    --------
    >>> steps = steps_of(np.arange(8) * 0.5)
    >>> frames_before(steps, [1, 2], 5, 8).tolist()
    [[1, -1], [2, 0], [3, 1], [4, 2], [5, 3]]
    """
    frames = np.arange(len(steps) - count, len(steps))
    found = np.full((count, len(beats)), -1, np.int64)
    known = np.flatnonzero(steps != UNKNOWN)
    if not len(known):
        return found
    known_steps = steps[known]
    oldest = np.searchsorted(known, frames - reach, side="right")  # first known frame that is searched
    for i, distance in enumerate(beats):
        wanted = np.where(steps[frames] == UNKNOWN, 0, steps[frames] - distance * STEPS_PER_BEAT)
        j = np.maximum(np.searchsorted(known_steps, wanted), oldest)
        candidates = np.minimum(j, len(known) - 1)
        excess = known_steps[candidates] - wanted
        valid = (steps[frames] != UNKNOWN) & (j < len(known)) & (known[candidates] < frames) & (excess < TOLERANCE)
        valid &= (excess == 0) | (j > oldest)  # else the wanted position is before all searched frames
        found[valid, i] = known[candidates[valid]]
    return found
