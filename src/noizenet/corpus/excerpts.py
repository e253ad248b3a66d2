"""Where to listen to tracks when listening to all of them takes too long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noizenet.corpus.corpus import Track


def excerpt_starts(tracks: Sequence[Track], count: int, seconds: float) -> list[tuple[Track, float]]:
    """Return where stretches begin that are spread evenly over the whole length of some tracks.

    Parameters
    ----------
    tracks : sequence of Track
        At least one.
    count : int
        Of stretches.
    seconds : float
        Of each stretch; it ends with its track at the latest, unless the track is shorter than that.

    Returns
    -------
    list of (Track, float)
        The track and the beginning in seconds within it, in the tracks' order.
    """
    starts = np.concatenate([[0.0], np.cumsum([t.seconds for t in tracks])])
    excerpts = []
    for i in range(count):
        position = (i + 0.5) / count * starts[-1]
        index = min(int(np.searchsorted(starts, position, side="right")) - 1, len(tracks) - 1)
        track = tracks[index]
        excerpts.append((track, max(0.0, min(position - starts[index], track.seconds - seconds))))
    return excerpts
