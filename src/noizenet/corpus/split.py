"""Training, validation and test: split by artist or by track, never by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noizenet.base.seeds import derive_seed

SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 0.1
MIN_GROUPS = 3


@dataclass(frozen=True)
class Unit:
    """What the splitter needs to know of a track."""

    key: str
    genre: str
    artist: str
    seconds: float
    split: str = ""


@dataclass(frozen=True)
class Assignment:
    """Track key → split, and by what each genre was split ("artist", "track" or "official")."""

    split: dict[str, str]
    unit: dict[str, str]


def assign_splits(tracks: Sequence[Unit], seed: int = 0) -> Assignment:
    """Assign every track to one split.

    Within each genre about a tenth of the time goes to validation and to test. Where a genre has at least
    three artists, an artist's tracks stay together, over all genres; where it has fewer (one's own album),
    tracks are the unit. Splits that the collection prescribes are kept. With two tracks there is no test
    split, with one no validation split either.

    Parameters
    ----------
    tracks : sequence of Unit
        The order does not matter.
    seed : int
        Another seed gives another split.

    Returns
    -------
    Assignment
    """
    split = {t.key: t.split for t in tracks if t.split}
    unit: dict[str, str] = {}
    artist_split = {t.artist: t.split for t in tracks if t.split and t.artist}
    for genre in sorted({t.genre for t in tracks}):
        members = sorted((t for t in tracks if t.genre == genre), key=lambda t: t.key)
        free = [t for t in members if t.key not in split]
        if not free:
            unit[genre] = "official"
            continue
        named = any(t.artist for t in members)
        by_artist = named and len({t.artist or t.key for t in members}) >= MIN_GROUPS
        unit[genre] = "artist" if by_artist else "track"
        groups: dict[str, list[Unit]] = {}
        for track in free:
            if by_artist and track.artist in artist_split:
                split[track.key] = artist_split[track.artist]
                continue
            groups.setdefault(track.artist if by_artist and track.artist else track.key, []).append(track)
        chosen = _deal(groups, {t.key: t for t in members if t.key in split}, split, seed, genre)
        for name, which in chosen.items():
            for track in groups[name]:
                split[track.key] = which
                if by_artist and track.artist:
                    artist_split[track.artist] = which
    return Assignment(split, unit)


def _deal(
    groups: dict[str, list[Unit]], placed: dict[str, Unit], split: dict[str, str], seed: int, genre: str
) -> dict[str, str]:
    """Deal a genre's groups: the held-out splits first, each until it has its share of the time."""
    total = sum(t.seconds for g in groups.values() for t in g) + sum(t.seconds for t in placed.values())
    order = sorted(groups, key=lambda name: derive_seed(seed, "split", genre, name))
    length = {name: sum(t.seconds for t in groups[name]) for name in order}
    # The largest groups are the training set's backbone: never hold them out while others remain.
    order.sort(key=lambda name: length[name] > 0.34 * total)
    chosen: dict[str, str] = {}
    left = list(order)
    has_train = any(split[k] == "train" for k in placed)
    for which in ("validation", "test"):
        held = sum(t.seconds for k, t in placed.items() if split[k] == which)
        while left and held < HELD_OUT_SHARE * total and (len(left) > 1 or has_train):
            name = left.pop(0)
            chosen[name] = which
            held += length[name]
    for name in left:
        chosen[name] = "train"
    return chosen
