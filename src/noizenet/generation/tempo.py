"""Tempo of a stream: as requested, that of the prompt, or that of a training recording of the genre."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from noizenet.audio import beats
from noizenet.audio.phrases import PHRASE, find_phrases
from noizenet.audio.waveform import Waveform, mix_channels
from noizenet.base.seeds import derive_seed
from noizenet.generation.genre import Mix

PHRASES_S = 60.0
"""Length of the end of a prompt in which phrases are detected."""

find_beats: Callable[[NDArray[np.float32], int], beats.Beats] = beats.find_beats
"""Beat tracker for mono samples; the studio replaces it by one in another process."""


def tempo_of_genre(tempi: Mapping[str, Sequence[float]], genres: Sequence[str], mix: Mix, seed: int) -> float:
    """Draw the tempo of a training recording, in beats a minute; 0 if none has a clear beat.

    Parameters
    ----------
    tempi : mapping
        Tempi of the training recordings, by genre.
    genres : sequence of str
    mix : ndarray, [G]
        Shares of the genres. If no genre of the mix has a tempo, all recordings are drawn from.
    seed : int
        The stream's random seed.

    Examples
    --------
    >>> tempo_of_genre({"a": [90.0], "b": [140.0]}, ["a", "b"], np.array([0, 1], np.float32), 3)
    140.0
    """
    rng = np.random.default_rng(derive_seed(seed, "tempo"))
    known = [(w, tempi[g]) for g, w in zip(genres, mix, strict=False) if tempi.get(g) and w > 0]
    known = known or [(1.0, t) for t in tempi.values() if t]
    if not known:
        return 0.0
    weights = np.array([w for w, _ in known], np.float64)
    chosen = known[int(rng.choice(len(known), p=weights / weights.sum()))][1]
    return float(chosen[int(rng.integers(len(chosen)))])


def beat_of_song(sound: Waveform, *, phrases: bool = False) -> tuple[float, float]:
    """Return the tempo of a recording's last twelve seconds in beats a minute, and the beat phase at its start.

    The phase, in beats, assumes the same tempo from the start on; it lies in [0, 1), or with `phrases` in [0, 16), from
    the start of a phrase of 16 beats that is detected in the last minute. Both are 0 if there is no clear beat.
    """
    mono = mix_channels(sound.samples, 1)[:, 0]
    last = mono[-round(beats.WINDOW_S * sound.sample_rate) :]
    found = find_beats(last, sound.sample_rate)
    if not found.tempo:
        return 0.0, 0.0
    before = (len(sound) - len(last)) / sound.sample_rate + found.times[-1]
    number, period = 0, 1
    if phrases:
        long = mono[-round(PHRASES_S * sound.sample_rate) :]
        times = find_beats(long, sound.sample_rate).times
        if len(times):
            offset = (len(long) - len(last)) / sound.sample_rate  # seconds from one excerpt's start to the other's
            distances = offset + found.times[-1] - times
            nearest = int(np.abs(distances).argmin())  # trackers omit beats at the ends: some may lie between
            number = int(find_phrases(long, sound.sample_rate, times)[nearest])
            number, period = number + round(distances[nearest] * found.tempo / 60), PHRASE
    return found.tempo, float((number - before * found.tempo / 60) % period)
