"""Parser of requested genres: one name, a mix of names, or a morph between mixes.

A name may contain any character, also those of the grammar. A text is first looked up as the whole name of one genre.
Otherwise it is parsed as ``NAME[:WEIGHT]`` separated by commas, and a morph as such mixes separated by ``>``. The
longest genre name that fits is taken (with the genres ``a`` and ``a,b``, ``a,b,a`` is ``a,b`` and ``a``). A name may
be put in double quotes; a quote within it is doubled.
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
MAX_LENGTH = 20_000
RESERVED = frozenset(',:>"')
QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?::([^,>"]*))?(?=[,>]|\Z)')


@dataclass(frozen=True)
class GenreSchedule:
    """Genre conditioning over time: mixes [G] at equal distances, linearly interpolated; one mix is constant."""

    mixes: tuple[Mix, ...]

    def at(self, position: float) -> Mix:
        """Return the mix at a position in [0, 1] of the whole length."""
        if len(self.mixes) == 1:
            return self.mixes[0]
        index = min(max(position, 0.0), 1.0) * (len(self.mixes) - 1)
        left = min(int(index), len(self.mixes) - 2)
        fraction = np.float32(index - left)
        return (1 - fraction) * self.mixes[left] + fraction * self.mixes[left + 1]

    @property
    def changes(self) -> bool:
        """Whether the mix changes over time."""
        return len(self.mixes) > 1


class _Names:
    """Lookup of genre names as users type them."""

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
        """Return the index of the genre with this name, or of the only one that differs in Unicode form or case."""
        for change, table in self._levels:
            found = table.get(change(text))
            if found is not None:
                return found
        return None

    def parse(self, text: str, morph: bool) -> list[Stop] | None:
        """Return the mixes of a text, [stops] of (genre, weight), or None if it cannot be parsed.

        Names are matched greedily from the left, with backtracking.
        """
        failed = set[tuple[int, bool]]()

        def rest(at: int, changed: bool) -> list[Stop] | None:
            if (at, changed) in failed:
                return None
            for item, end in self._items(text, at, morph):
                if end == len(text):
                    if changed or not morph:
                        return [[item]]
                    continue
                step = text[end] == ">"
                after = rest(end + 1, changed or step)
                if after is not None:
                    return [[item], *after] if step else [[item, *after[0]], *after[1:]]
            failed.add((at, changed))
            return None

        return rest(0, False)

    def _items(self, text: str, at: int, morph: bool) -> Iterator[tuple[tuple[int, float], int]]:
        """Yield the candidates for a name and its weight at `at`, longest first, each with its end."""
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
            item = text[at:end]
            number = self.find(item)
            if number is not None:
                yield (number, 1.0), end
            if ":" in item:
                name, _, suffix = item.rpartition(":")
                number, weight = self.find(name), _weight(suffix)
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
        For a genre that the model does not have, or weights that are all 0.
    """
    names = _Names(genres)
    whole = names.find(text)
    stops = [[(whole, 1.0)]] if whole is not None else names.parse(text, morph=False)
    if stops is None:
        raise UsageError(_explain_error(text, names, ","))
    return _mix(stops[0], text, len(genres))


def _mix(stop: Stop, text: str, count: int) -> Mix:
    mix = np.zeros(count)
    largest = max(weight for _, weight in stop)
    if largest <= 0:
        raise UsageError(f"genre {_short(text)}: all weights are 0")
    for genre, weight in stop:
        mix[genre] += weight / largest  # the sum of very large weights would not be finite
    return np.asarray(mix / mix.sum(), np.float32)


def _explain_error(text: str, names: _Names, separators: str) -> str:
    """Return the error message for a text; it contains the whole text once."""
    known = names.genres
    for item in re.split(f"[{separators}]", text):
        name, colon, suffix = item.rpartition(":")
        if names.find(item) is not None or (colon and names.find(name) is not None and _weight(suffix) is not None):
            continue
        if colon and names.find(name) is not None:
            return f"genre {_short(text)}: {suffix.strip()!r} is not a weight (a number of at least 0)"
        unknown = (name if colon and _weight(suffix) is not None else item).strip()
        hint = suggest(unknown, known)
        if any(RESERVED & set(g) for g in known):
            hint += "; put a name that contains , : or > in double quotes"
        context = "" if unknown == text.strip() else f"genre {_short(text)}: "
        return f"{context}unknown genre {_short(unknown)}: {hint}"
    return f"genre {_short(text)}: cannot be parsed; {suggest(text, known)}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")


def parse_schedule(
    genre: str | None, morph: str | None, genres: list[str], conditioned: bool, seed: int
) -> GenreSchedule:
    """Parse the requested genre or morph.

    If neither is given, one genre of the model is drawn with the random seed.

    Raises
    ------
    UsageError
        If both are given, the model has no genres, or a genre is unknown.
    """
    requested = genre if genre is not None else morph
    if genre is not None and morph is not None:
        raise UsageError("give either a genre or a morph, not both")
    if requested is not None and not conditioned:
        raise UsageError("this model is not conditioned on genres (model.genre_embedding = 0); leave the genre out")
    if requested is not None and not isinstance(requested, str):
        raise UsageError(f"genre: {requested!r} is not text")
    if requested is not None and len(requested) > MAX_LENGTH:
        raise UsageError(f"genre: {len(requested):,} characters are too many (at most {MAX_LENGTH:,})")
    if morph is not None:
        names = _Names(genres)
        stops = names.parse(morph, morph=True)
        if stops is None:
            if ">" not in morph:
                raise UsageError(
                    f"morph {_short(morph)}: expected genres separated by >, for instance 'ambient>techno'"
                )
            raise UsageError(f"morph: {_explain_error(morph, names, ',>')}")
        return GenreSchedule(tuple(_mix(stop, morph, len(genres)) for stop in stops))
    if genre is not None:
        return GenreSchedule((parse_mix(genre, genres),))
    count = len(genres)
    mix = np.zeros(count, np.float32)
    if count:
        mix[np.random.default_rng([seed, 0x67]).integers(count)] = 1.0
    return GenreSchedule((mix,))


def format_mix(mix: Mix, genres: list[str]) -> str:
    """Return the text of a mix, with weights of four digits; :func:`parse_mix` is the inverse."""
    return format_schedule(GenreSchedule((mix,)), genres)


def format_schedule(schedule: GenreSchedule, genres: list[str]) -> str:
    """Return the text of a schedule, a genre or a morph; :func:`parse_schedule` is the inverse."""
    names = _Names(genres)
    stops = [[(i, float(w)) for i, w in enumerate(mix) if w > 0] for mix in schedule.mixes]
    if len(stops) == 1 and len(stops[0]) == 1:
        return genres[stops[0][0][0]]
    for comma, quote in ((",", False), *((f",{n * ' '}", True) for n in range(len(genres) + 1))):
        text = " > ".join(_format_stop(stop, genres, comma, quote) for stop in stops)
        # Names are quoted where they contain reserved characters. The text must not be the name of another genre.
        parsed = None if not schedule.changes and names.find(text) is not None else names.parse(text, schedule.changes)
        if parsed is not None and [[i for i, _ in stop] for stop in parsed] == [[i for i, _ in stop] for stop in stops]:
            return text
    raise AssertionError("there are more candidates than genres, so one of them is not a genre's name")


def _format_stop(stop: Stop, genres: list[str], comma: str, quote: bool) -> str:
    names = ['"' + g.replace('"', '""') + '"' if quote else g for g in genres]
    return comma.join(names[i] + (f":{w:.4g}" if len(stop) > 1 else "") for i, w in stop)
