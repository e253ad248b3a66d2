"""Evenly spaced excerpts of tracks, for when processing all audio takes too long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noizenet.corpus.corpus import Track


def excerpt_starts(tracks: Sequence[Track], count: int, seconds: float) -> list[tuple[Track, float]]:
    """Return the starts of excerpts that are spaced evenly over the total length of some tracks.

    Parameters
    ----------
    tracks : sequence of Track
        At least one.
    count : int
        Number of excerpts.
    seconds : float
        Length of each excerpt. An excerpt ends within its track, unless the track is shorter than this.

    Returns
    -------
    list of (Track, float)
        The track and the start within it in seconds, in the order of `tracks`.
    """
    starts = np.concatenate([[0.0], np.cumsum([t.seconds for t in tracks])])
    excerpts = []
    for i in range(count):
        position = (i + 0.5) / count * starts[-1]
        index = min(int(np.searchsorted(starts, position, side="right")) - 1, len(tracks) - 1)
        track = tracks[index]
        excerpts.append((track, max(0.0, min(position - starts[index], track.seconds - seconds))))
    return excerpts
