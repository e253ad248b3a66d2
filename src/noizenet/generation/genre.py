"""Genre wishes: one name, a mix of names, or a way from one mix to another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError, suggest

Mix = NDArray[np.float32]


@dataclass(frozen=True)
class GenrePath:
    """Mixes at equal distances in time; one mix means that nothing changes."""

    mixes: tuple[Mix, ...]

    def at(self, share: float) -> Mix:
        """Return the mix at a share of the way in [0, 1]."""
        if len(self.mixes) == 1:
            return self.mixes[0]
        place = min(max(share, 0.0), 1.0) * (len(self.mixes) - 1)
        left = min(int(place), len(self.mixes) - 2)
        part = np.float32(place - left)
        return (1 - part) * self.mixes[left] + part * self.mixes[left + 1]

    @property
    def moves(self) -> bool:
        """Tell whether the mix changes over time."""
        return len(self.mixes) > 1


def parse_mix(text: str, genres: list[str]) -> Mix:
    """Parse ``"A"`` or ``"A:0.7,B:0.3"``; weights are scaled to sum to 1.

    Examples
    --------
    >>> [round(float(w), 2) for w in parse_mix("rock:3,jazz:1", ["jazz", "rock"])]
    [0.25, 0.75]

    Raises
    ------
    UsageError
        For a genre that the model does not know, or weights that make no mix.
    """
    mix = np.zeros(len(genres), np.float32)
    for part in text.split(","):
        # A name may hold a colon itself: the whole text first.
        name, weight = part.strip(), 1.0
        if name not in genres and ":" in name:
            name, _, number = name.rpartition(":")
            try:
                weight = float(number)
            except ValueError as error:
                raise UsageError(f"genre {part.strip()!r}: {number!r} is not a number") from error
        if name not in genres:
            raise UsageError(f"unknown genre {name!r}: {suggest(name, genres)}")
        if not (math.isfinite(weight) and weight >= 0):
            raise UsageError(f"genre {part.strip()!r}: a weight must be a number of at least 0")
        mix[genres.index(name)] += weight
    if mix.sum() <= 0:
        raise UsageError(f"genre {text!r}: all weights are 0")
    return np.asarray(mix / mix.sum(), np.float32)


def parse_path(genre: str | None, morph: str | None, genres: list[str], conditioned: bool, seed: int) -> GenrePath:
    """Turn the user's wish into a path.

    Without a wish, a model that knows genres plays one of them, picked by the seed.

    Raises
    ------
    UsageError
        For both kinds of wish at once, a model that knows no genres, or an unknown genre.
    """
    wish = genre if genre is not None else morph
    if genre is not None and morph is not None:
        raise UsageError("give either a genre or a morph, not both")
    if wish is not None and not conditioned:
        raise UsageError("this model was not told genres in training (model.genre_embedding = 0); leave the genre out")
    if morph is not None:
        stops = morph.split(">")
        if len(stops) < 2:
            raise UsageError(f"morph {morph!r}: expected genres with > between them, for instance 'ambient>techno'")
        return GenrePath(tuple(parse_mix(stop, genres) for stop in stops))
    if genre is not None:
        return GenrePath((parse_mix(genre, genres),))
    count = len(genres)
    mix = np.zeros(count, np.float32)
    if count:
        mix[np.random.default_rng([seed, 0x67]).integers(count)] = 1.0
    return GenrePath((mix,))


def spell_mix(mix: Mix, genres: list[str]) -> str:
    """Return a mix as a user would type it."""
    used = [(g, float(w)) for g, w in zip(genres, mix, strict=True) if w > 0]
    return used[0][0] if len(used) == 1 else ",".join(f"{g}:{w:.2g}" for g, w in used)
