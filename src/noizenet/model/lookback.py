"""Where the frame lies that was so many beats ago: found from positions in beats, in training and in playing alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STEPS = 32
"""Parts of a beat in which positions are compared."""
NOWHERE = np.iinfo(np.int64).min
"""Stands for the step of a frame of which no beat is known."""
NEAR = STEPS // 2
"""A frame is not the one that was so many beats ago if it lies as many steps or more after that moment."""
FRAMES_A_BEAT = 66
"""Frames of a beat that are remembered for each beat of the longest lookback: enough for a codec's 21.5 frames a second
at 20 beats a minute, the slowest tempo."""

Ints = NDArray[np.int64]


def steps_of(positions: NDArray[np.floating]) -> Ints:
    """Return positions in beats as whole steps, :data:`STEPS` a beat; :data:`NOWHERE` for NaN.

    Examples
    --------
    >>> steps_of(np.array([0.0, 1.26])).tolist()
    [0, 40]
    """
    known = ~np.isnan(positions)
    steps = np.full(positions.shape, NOWHERE, np.int64)
    steps[known] = np.floor(positions[known] * STEPS)
    return steps


def frames_before(steps: Ints, beats: Sequence[int], count: int, reach: int) -> Ints:
    """Return which frames lay so many beats before each of the last frames.

    That is the first frame whose step is not before the moment asked for, as the codes of one and two bars ago are told
    to the Lookback RNN (E. Waite, "Generating long-term structure in songs and stories", Magenta, 2016).

    Parameters
    ----------
    steps : ndarray, int64 [n]
        Of all frames, never falling where they are known (see :func:`steps_of`).
    beats : sequence of int
        L distances.
    count : int
        The last so many of the frames are asked for.
    reach : int
        Only frames fewer than so many before are looked at, whatever else is known, so that the cut into calls changes
        nothing.

    Returns
    -------
    ndarray, int64 [count, L]
        Indices into `steps`; -1 where no beat is known, or nothing lies there.

    Examples
    --------
    >>> steps = steps_of(np.arange(8) * 0.5)
    >>> frames_before(steps, [1, 2], 5, 8).tolist()
    [[1, -1], [2, 0], [3, 1], [4, 2], [5, 3]]
    """
    here = np.arange(len(steps) - count, len(steps))
    found = np.full((count, len(beats)), -1, np.int64)
    known = np.flatnonzero(steps != NOWHERE)
    if not len(known):
        return found
    own = steps[known]
    oldest = np.searchsorted(known, here - reach, side="right")  # the first of the known frames that is looked at
    for i, distance in enumerate(beats):
        wanted = np.where(steps[here] == NOWHERE, 0, steps[here] - distance * STEPS)
        j = np.maximum(np.searchsorted(own, wanted), oldest)
        at = np.minimum(j, len(known) - 1)
        after = own[at] - wanted
        there = (steps[here] != NOWHERE) & (j < len(known)) & (known[at] < here) & (after < NEAR)
        there &= (after == 0) | (j > oldest)  # else the moment lies before all that is looked at
        found[there, i] = known[at[there]]
    return found
