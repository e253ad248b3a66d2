"""Negative controls, which are not music: a metric that does not rate one worse than real music is insensitive to it.

White noise keeps only the level of a genre's music; shuffled windows keep its sounds but not their order; silence keeps
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError, suggest
from noizenet.corpus.corpus import Corpus, Track
from noizenet.evaluation.recording import Recording

WINDOW_S, FADE_S = 0.25, 0.01
PER_GENRE, SECONDS = 2, 60.0
Blocks = Iterator[NDArray[np.float32]]


def silence(corpus: Corpus, tracks: Sequence[Track], seconds: float, seed: int) -> Blocks:
    """Yield zeros, second by second."""
    for _ in range(round(seconds)):
        yield np.zeros(corpus.sample_rate, np.float32)


def white_noise(corpus: Corpus, tracks: Sequence[Track], seconds: float, seed: int) -> Blocks:
    """Yield Gaussian noise with the median level of the tracks."""
    generator = np.random.default_rng(seed)
    level = float(np.median([t.rms for t in tracks]))
    for _ in range(round(seconds)):
        yield np.clip(generator.normal(0, level, corpus.sample_rate), -1, 1).astype(np.float32)


def shuffled_windows(corpus: Corpus, tracks: Sequence[Track], seconds: float, seed: int) -> Blocks:
    """Yield windows of a quarter of a second from random positions in the tracks, with short crossfades."""
    generator = np.random.default_rng(seed)
    window, fade = round(WINDOW_S * corpus.sample_rate), round(FADE_S * corpus.sample_rate)
    long = [t for t in tracks if t.frames > window + fade]
    if not long:
        raise UsageError(f"{corpus.folder}: no track is longer than a window of {WINDOW_S:g} s")
    rise = np.sqrt(np.linspace(0, 1, fade)).astype(np.float32)
    tail = np.zeros(fade, np.float32)
    for _ in range(round(seconds / WINDOW_S)):
        track = long[int(generator.integers(len(long)))]
        first = int(generator.integers(track.frames - window - fade))
        sound = corpus.mono(track, first, window + fade)
        sound[:fade] = sound[:fade] * rise + tail
        tail = sound[window:] * rise[::-1]
        yield sound[:window]


CONTROLS: dict[str, Callable[[Corpus, Sequence[Track], float, int], Blocks]] = {
    "silence": silence,
    "white noise": white_noise,
    "shuffled windows": shuffled_windows,
}
REPORT_CONTROLS = ("white noise", "shuffled windows")


def control(
    name: str,
    corpus: Corpus,
    *,
    split: str = "test",
    per_genre: int = PER_GENRE,
    seconds: float = SECONDS,
    seed: int = 0,
) -> list[Recording]:
    """Return recordings of a negative control for every genre.

    Parameters
    ----------
    name : str
        ``silence``, ``white noise`` or ``shuffled windows``.
    corpus : Corpus
    split : str
        Split whose tracks it is made of: held-out music by default, so that it does not copy training music.
    per_genre, seconds : int, float
        Number of recordings of each genre, and length of each.
    seed : int

    Raises
    ------
    UsageError
        If the name is unknown.
    """
    if name not in CONTROLS:
        raise UsageError(f"unknown control {name!r}: {suggest(name, list(CONTROLS))}")
    found = list[Recording]()
    for genre, tracks in _by_genre(corpus, split).items():
        for i in range(per_genre):
            make = partial(CONTROLS[name], corpus, tracks, seconds, seed * 1000 + len(found))
            found.append(Recording(f"{name} {genre} {i}", genre, corpus.sample_rate, make))
    return found


def _by_genre(corpus: Corpus, split: str) -> Mapping[str, list[Track]]:
    chosen = corpus.split(split) or corpus.split("validation")
    genres = {g: [t for t in chosen if t.genre == g] for g in corpus.genres}
    return {g: tracks for g, tracks in genres.items() if tracks}
