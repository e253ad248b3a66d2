"""How fast a stream plays: as asked for, as the song that it goes on from, or as a piece of its genre."""

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
"""The end of a song, in which its phrases are looked for."""

find_beats: Callable[[NDArray[np.float32], int], beats.Beats] = beats.find_beats
"""Finds the beats of mono samples; a program that runs for days may have another process do it."""


def tempo_of_genre(tempi: Mapping[str, Sequence[float]], genres: Sequence[str], mix: Mix, seed: int) -> float:
    """Draw a tempo in beats a minute: that of a piece that the network learned from; 0 where pieces have no clear beat.

    Parameters
    ----------
    tempi : mapping
        Tempi of every genre's pieces.
    genres : sequence of str
        What `mix` [G] tells the shares of.
    mix : ndarray
    seed : int
        The stream's.

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
    """Return a song's tempo in beats a minute in its last twelve seconds, and where in a beat it begins.

    As if it had kept that tempo all along; zeros where there is no clear beat. With `phrases` the beginning is that in
    a phrase of 16 beats, as far as it can be told from the song's last minute.
    """
    mono = mix_channels(sound.samples, 1)[:, 0]
    last = mono[-round(beats.WINDOW_S * sound.sample_rate) :]
    found = find_beats(last, sound.sample_rate)
    if not found.tempo:
        return 0.0, 0.0
    before = (len(sound) - len(last)) / sound.sample_rate + found.times[-1]
    number, turn = 0, 1
    if phrases:
        long = mono[-round(PHRASES_S * sound.sample_rate) :]
        times = find_beats(long, sound.sample_rate).times
        if len(times):
            cut = (len(long) - len(last)) / sound.sample_rate  # seconds from one excerpt's start to the other's
            apart = cut + found.times[-1] - times
            nearest = int(np.abs(apart).argmin())  # trackers leave out beats at the ends: some may lie between
            number = int(find_phrases(long, sound.sample_rate, times)[nearest])
            number, turn = number + round(apart[nearest] * found.tempo / 60), PHRASE
    return found.tempo, float((number - before * found.tempo / 60) % turn)
