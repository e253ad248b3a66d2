"""Genre wishes: one name, a mix of names, or a way from one mix to another.

A name may hold anything, the signs of the grammar included: what is asked for is first taken for one genre's whole
name. Else it is read as ``NAME[:WEIGHT]`` between commas, and as such mixes between ``>`` where a morph is asked for.
Each name runs as far as a known genre does (with the genres ``a`` and ``a,b``, ``a,b,a`` is ``a,b`` and ``a``); in
double quotes it is what stands between them, a quote in it doubled.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError, suggest

Mix = NDArray[np.float32]
Stop = list[tuple[int, float]]
LONGEST = 20_000
SIGNS = frozenset(',:>"')
QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?::([^,>"]*))?(?=[,>]|\Z)')


@dataclass(frozen=True)
class GenreSchedule:
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


class _Names:
    """Known genres, found by what a user types."""

    def __init__(self, genres: Sequence[str]) -> None:
        self.genres = list(genres)
        self._levels = [
            self._table(change)
            for change in (
                lambda name: name,
                lambda name: unicodedata.normalize("NFC", name),
                lambda name: unicodedata.normalize("NFC", name).strip(),
                lambda name: unicodedata.normalize("NFC", name).strip().casefold(),
            )
        ]

    def _table(self, change: Callable[[str], str]) -> tuple[Callable[[str], str], dict[str, int]]:
        keys = [change(g) for g in self.genres]
        return change, {key: i for i, key in enumerate(keys) if keys.count(key) == 1}

    def find(self, text: str) -> int | None:
        """Return the number of a genre: of this very name, or else of the only one that differs in form or case."""
        for change, table in self._levels:
            found = table.get(change(text))
            if found is not None:
                return found
        return None

    def parse(self, text: str, morph: bool) -> list[Stop] | None:
        """Return the mixes that a text names, [stops] of (genre, weight); None where it names none.

        Names are taken as long as they can be, from the left; where what follows then cannot be read, shorter.
        """
        dead = set[tuple[int, bool]]()

        def rest(at: int, moved: bool) -> list[Stop] | None:
            if (at, moved) in dead:
                return None
            for item, end in self._items(text, at, morph):
                if end == len(text):
                    if moved or not morph:
                        return [[item]]
                    continue
                step = text[end] == ">"
                after = rest(end + 1, moved or step)
                if after is not None:
                    return [[item], *after] if step else [[item, *after[0]], *after[1:]]
            dead.add((at, moved))
            return None

        return rest(0, False)

    def _items(self, text: str, at: int, morph: bool) -> Iterator[tuple[tuple[int, float], int]]:
        """Yield what a name and weight from `at` on can be, the likeliest first, and where it ends."""
        quoted = QUOTED.match(text, at)
        if quoted and (morph or text[quoted.end() : quoted.end() + 1] != ">"):
            number = self.find(quoted[1].replace('""', '"'))
            weight = _weight(quoted[2])
            if number is not None and weight is not None:
                yield (number, weight), quoted.end()
        ends = [len(text)] + [
            i for i in range(len(text) - 1, at - 1, -1) if text[i] == "," or (morph and text[i] == ">")
        ]
        for end in ends:
            piece = text[at:end]
            number = self.find(piece)
            if number is not None:
                yield (number, 1.0), end
            if ":" in piece:
                name, _, given = piece.rpartition(":")
                number, weight = self.find(name), _weight(given)
                if number is not None and weight is not None:
                    yield (number, weight), end


def _weight(text: str | None) -> float | None:
    if text is None:
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if math.isfinite(weight) and weight >= 0 else None


def parse_mix(text: str, genres: list[str]) -> Mix:
    """Parse ``"A"`` or ``"A:0.7,B:0.3"``; weights are scaled to sum to 1.

    Examples
    --------
    >>> [round(float(w), 2) for w in parse_mix("rock:3,jazz:1", ["jazz", "rock"])]
    [0.25, 0.75]
    >>> [round(float(w), 2) for w in parse_mix("folk, world:3,jazz", ["jazz", "folk, world"])]
    [0.25, 0.75]

    Raises
    ------
    UsageError
        For a genre that the model does not know, or weights that make no mix.
    """
    names = _Names(genres)
    whole = names.find(text)
    stops = [[(whole, 1.0)]] if whole is not None else names.parse(text, morph=False)
    if stops is None:
        raise UsageError(_trouble(text, names, ","))
    return _mix(stops[0], text, len(genres))


def _mix(stop: Stop, text: str, count: int) -> Mix:
    mix = np.zeros(count)
    most = max(weight for _, weight in stop)
    if most <= 0:
        raise UsageError(f"genre {_short(text)}: all weights are 0")
    for genre, weight in stop:
        mix[genre] += weight / most  # the sum of very large weights would not be finite
    return np.asarray(mix / mix.sum(), np.float32)


def _trouble(text: str, names: _Names, separators: str) -> str:
    """Say what of a text is no genre; the whole text is named once."""
    known = names.genres
    for piece in re.split(f"[{separators}]", text):
        name, colon, given = piece.rpartition(":")
        if names.find(piece) is not None or (colon and names.find(name) is not None and _weight(given) is not None):
            continue
        if colon and names.find(name) is not None:
            return f"genre {_short(text)}: {given.strip()!r} is not a weight (a number of at least 0)"
        wanted = (name if colon and _weight(given) is not None else piece).strip()
        hint = suggest(wanted, known)
        if any(SIGNS & set(g) for g in known):
            hint += "; a name that holds , : or > can be put in double quotes"
        inside = "" if wanted == text.strip() else f"genre {_short(text)}: "
        return f"{inside}unknown genre {_short(wanted)}: {hint}"
    return f"genre {_short(text)}: cannot be read as genres; {suggest(text, known)}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")


def parse_path(genre: str | None, morph: str | None, genres: list[str], conditioned: bool, seed: int) -> GenreSchedule:
    """Turn the user's wish into a path.

    Without a wish, a model that knows genres plays one of them, picked by the seed.

    Raises
    ------
    UsageError
        For both kinds of wish at once, a model that knows no genres, or an unknown genre.
    """
    requested = genre if genre is not None else morph
    if genre is not None and morph is not None:
        raise UsageError("give either a genre or a morph, not both")
    if requested is not None and not conditioned:
        raise UsageError("this model was not told genres in training (model.genre_embedding = 0); leave the genre out")
    if requested is not None and not isinstance(requested, str):
        raise UsageError(f"genre: {requested!r} is not text")
    if requested is not None and len(requested) > LONGEST:
        raise UsageError(f"genre: {len(requested):,} characters are too many (at most {LONGEST:,})")
    if morph is not None:
        names = _Names(genres)
        stops = names.parse(morph, morph=True)
        if stops is None:
            if ">" not in morph:
                raise UsageError(
                    f"morph {_short(morph)}: expected genres with > between them, for instance 'ambient>techno'"
                )
            raise UsageError(f"morph: {_trouble(morph, names, ',>')}")
        return GenreSchedule(tuple(_mix(stop, morph, len(genres)) for stop in stops))
    if genre is not None:
        return GenreSchedule((parse_mix(genre, genres),))
    count = len(genres)
    mix = np.zeros(count, np.float32)
    if count:
        mix[np.random.default_rng([seed, 0x67]).integers(count)] = 1.0
    return GenreSchedule((mix,))


def format_mix(mix: Mix, genres: list[str]) -> str:
    """Return a mix as a user would type it: :func:`parse_mix` reads it back, weights to four digits."""
    return spell_path(GenreSchedule((mix,)), genres)


def spell_path(path: GenreSchedule, genres: list[str]) -> str:
    """Return a path as a user would type it, as a genre or as a morph."""
    names = _Names(genres)
    stops = [[(i, float(w)) for i, w in enumerate(mix) if w > 0] for mix in path.mixes]
    if len(stops) == 1 and len(stops[0]) == 1:
        return genres[stops[0][0][0]]
    for comma, quote in ((",", False), *((f",{n * ' '}", True) for n in range(len(genres) + 1))):
        text = " > ".join(_spell_stop(stop, genres, comma, quote) for stop in stops)
        # A name that holds signs of the grammar is quoted; and the text must not be one genre's whole name.
        read = None if not path.moves and names.find(text) is not None else names.parse(text, path.moves)
        if read is not None and [[i for i, _ in stop] for stop in read] == [[i for i, _ in stop] for stop in stops]:
            return text
    raise AssertionError("one of more spellings than there are genres is none of their names")


def _spell_stop(stop: Stop, genres: list[str], comma: str, quote: bool) -> str:
    names = ['"' + g.replace('"', '""') + '"' if quote else g for g in genres]
    return comma.join(names[i] + (f":{w:.4g}" if len(stop) > 1 else "") for i, w in stop)
