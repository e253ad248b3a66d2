"""Assign tracks to training, validation and test by artist or by track; copies of a recording share a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from noizenet.base.seeds import derive_seed

SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 0.1
MIN_GROUPS = 3
LARGE_SHARE = 0.34
"""A group longer than this share of its genre is held out only if no others remain."""


@dataclass(frozen=True)
class Unit:
    """A track as input of the split.

    `split` is the split that the collection prescribes, if any. `recording` is a label that copies of the same
    recording share, empty for a track without copies.
    """

    key: str
    genre: str
    artist: str
    seconds: float
    split: str = ""
    recording: str = ""


@dataclass(frozen=True)
class Assignment:
    """Track key → split, and genre → split unit ("artist", "track" or "official")."""

    split: dict[str, str]
    unit: dict[str, str]


@dataclass
class _Group:
    """Tracks that must share a split: their seconds by genre, and the split, empty until it is assigned."""

    name: str
    seconds: dict[str, float]
    split: str


def assign_splits(tracks: Sequence[Unit], seed: int = 0) -> Assignment:
    """Assign every track to one split.

    In each genre, validation and test each get about a tenth of the time. Copies of a recording share a split. If a
    genre has at least three artists, the tracks of an artist share a split too, across all such genres; if it has
    fewer (a single album), tracks are split individually. Splits that the collection prescribes are kept, even if
    they separate copies; other tracks of the group follow the prescribed split. A genre with two groups has no test
    split; a genre with a single group has no validation split either.

    Parameters
    ----------
    tracks : sequence of Unit
        The order does not matter.
    seed : int
        Random seed.

    Returns
    -------
    Assignment
    """
    tracks = sorted(tracks, key=lambda t: t.key)
    members, by_artist = _grouped(tracks)
    groups = [_describe(units, by_artist) for units in members]
    assigner = _SplitAssigner(groups, seed)
    unit: dict[str, str] = {}
    for genre in assigner.genres():
        official = all(t.split for t in tracks if t.genre == genre)
        unit[genre] = "official" if official else "artist" if genre in by_artist else "track"
        assigner.assign(genre)
    split = {t.key: t.split or g.split for g, units in zip(groups, members, strict=True) for t in units}
    return Assignment(split, unit)


def _grouped(tracks: Sequence[Unit]) -> tuple[list[list[Unit]], set[str]]:
    """Return the groups of tracks that must share a split, and the genres that are split by artist."""
    by_artist = {t.genre for t in tracks if t.artist}
    while True:
        groups = _connected(tracks, by_artist)
        count: dict[str, int] = defaultdict(int)
        for units in groups:
            for genre in {t.genre for t in units}:
                count[genre] += 1
        few = {g for g in by_artist if count[g] < MIN_GROUPS}
        if not few:
            return groups, by_artist
        by_artist -= few


def _connected(tracks: Sequence[Unit], by_artist: set[str]) -> list[list[Unit]]:
    parent = {t.key: t.key for t in tracks}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    first: dict[tuple[str, str], str] = {}
    for t in tracks:
        shared = [("recording", t.recording)] if t.recording else []
        shared += [("artist", t.artist)] if t.artist and t.genre in by_artist else []
        for what in shared:
            one, other = sorted((root(t.key), root(first.setdefault(what, t.key))))
            parent[other] = one
    groups: dict[str, list[Unit]] = {}
    for t in tracks:
        groups.setdefault(root(t.key), []).append(t)
    return list(groups.values())


def _describe(tracks: Sequence[Unit], by_artist: set[str]) -> _Group:
    seconds: dict[str, float] = defaultdict(float)
    for t in tracks:
        seconds[t.genre] += t.seconds
    name = min(t.artist if t.artist and t.genre in by_artist else t.key for t in tracks)
    return _Group(name, dict(seconds), _most_common([t.split for t in tracks if t.split]))


def _most_common(splits: Sequence[str]) -> str:
    """Return the most common prescribed split, the first of SPLITS in a tie; empty if none is prescribed."""
    return max(SPLITS, key=lambda s: (splits.count(s), -SPLITS.index(s))) if splits else ""


class _SplitAssigner:
    """Assigns splits genre by genre, so that every genre keeps training data."""

    def __init__(self, groups: Sequence[_Group], seed: int) -> None:
        self._seed = seed
        self._groups_of: dict[str, list[_Group]] = defaultdict(list)
        self._total: dict[str, float] = defaultdict(float)
        self._trainable: dict[str, int] = defaultdict(int)
        for group in groups:
            for genre, seconds in group.seconds.items():
                self._groups_of[genre].append(group)
                self._total[genre] += seconds
                self._trainable[genre] += group.split in ("", "train")

    def genres(self) -> list[str]:
        return sorted(self._groups_of)

    def assign(self, genre: str) -> None:
        """Assign a genre's groups: first to validation and test until each has its share, the rest to training."""
        unassigned = [g for g in self._groups_of[genre] if not g.split]
        unassigned.sort(key=lambda g: derive_seed(self._seed, "split", genre, g.name))
        # Sorted last, so that large groups are held out only if no others remain.
        unassigned.sort(key=lambda g: any(s > LARGE_SHARE * self._total[h] for h, s in g.seconds.items()))
        for split in ("validation", "test"):
            held_out = sum(g.seconds[genre] for g in self._groups_of[genre] if g.split == split)
            for group in [g for g in unassigned if not g.split]:
                if held_out >= HELD_OUT_SHARE * self._total[genre]:
                    break
                if all(self._trainable[h] > 1 for h in group.seconds):
                    group.split = split
                    held_out += group.seconds[genre]
                    for h in group.seconds:
                        self._trainable[h] -= 1
        for group in unassigned:
            group.split = group.split or "train"
