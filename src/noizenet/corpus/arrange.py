"""Select the tracks of a corpus and assign splits: copies share a split, and a single long recording is cut."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from noizenet.base.errors import CorpusError
from noizenet.base.files import write_csv
from noizenet.corpus.corpus import Track
from noizenet.corpus.cut import GAP_S, LONG_S, Piece, cut
from noizenet.corpus.duplicates import find_duplicates
from noizenet.corpus.source import Problem
from noizenet.corpus.split import MIN_GROUPS, Unit, assign_splits

DUPLICATES = "duplicates.csv"
SILENT = 1 / 32768
"""A piece is silent if all its 16-bit samples are 0, 1 or -1."""
SAME_SOUND = "sounds the same as"
BY_PIECE = "piece"


@dataclass(frozen=True)
class Duplicate:
    """A track in a group of copies; `offset` is its start relative to the group's first track, in seconds."""

    group: int
    source: str
    genre: str
    split: str
    offset: float


@dataclass(frozen=True)
class Arrangement:
    """Tracks with their splits, problems to report, the split unit of each genre, and duplicates."""

    tracks: list[Track]
    problems: list[Problem]
    split_by: dict[str, str]
    duplicates: list[Duplicate]


def arrange(tracks: Sequence[Track], audio: Path, sample_rate: int, seed: int) -> Arrangement:
    """Find copies, cut long recordings of genres that have too few recordings to hold any out, and assign splits.

    Parameters
    ----------
    tracks : sequence of Track
        Uncut recordings; a non-empty `split` is kept.
    audio : Path
        Folder of their prepared audio.
    sample_rate : int
        Hz.
    seed : int
        Random seed of the split.

    Returns
    -------
    Arranged
    """
    groups = find_duplicates([audio / t.audio for t in tracks], sample_rate)
    group_of = {tracks[m.number].id: number for number, group in enumerate(groups, 1) for m in group}
    offsets = {tracks[m.number].id: m.offset for group in groups for m in group}
    remaining, problems, cut_genres = _cut_long_recordings(tracks, group_of, audio, sample_rate)
    units = [
        Unit(
            f"{t.source}#{t.start}" if t.id != t.content else t.source,
            t.genre, t.artist, t.seconds, t.split, str(group_of.get(t.id, "")),
        )
        for t in remaining
    ]  # fmt: skip
    assignment = assign_splits(units, seed)
    assigned = [replace(t, split=assignment.split[u.key]) for t, u in zip(remaining, units, strict=True)]
    rows = [Duplicate(group_of[t.id], t.source, t.genre, t.split, offsets[t.id]) for t in assigned if t.id in group_of]
    split_by = {g: BY_PIECE if g in cut_genres else unit for g, unit in assignment.unit.items()}
    return Arrangement(assigned, problems, split_by, sorted(rows, key=lambda d: (d.group, d.source)))


def write_duplicates(folder: Path, duplicates: Sequence[Duplicate]) -> None:
    """Write the ``duplicates.csv`` of a corpus."""
    write_csv(folder / DUPLICATES, [f.name for f in fields(Duplicate)], [asdict(d) for d in duplicates])


def read_duplicates(folder: Path) -> list[Duplicate]:
    """Read the ``duplicates.csv`` of a corpus; return an empty list if there is none (earlier versions).

    Raises
    ------
    CorpusError
        If the file is damaged.
    """
    path = folder / DUPLICATES
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            return [
                Duplicate(int(r["group"]), r["source"], r["genre"], r["split"], float(r["offset"]))
                for r in csv.DictReader(handle)
            ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise CorpusError(f"{path}: damaged; build the corpus again") from error


def _cut_long_recordings(
    tracks: Sequence[Track], group_of: dict[str, int], audio: Path, sample_rate: int
) -> tuple[list[Track], list[Problem], set[str]]:
    """Cut long recordings of genres with too few recordings to hold any out; keep only the longest of copies."""
    members: dict[str, dict[object, list[Track]]] = defaultdict(lambda: defaultdict(list))
    for t in tracks:
        members[t.genre][group_of.get(t.id, t.id)].append(t)
    genres_of_recording: dict[object, set[str]] = defaultdict(set)
    for t in tracks:
        genres_of_recording[group_of.get(t.id, t.id)].add(t.genre)
    replacements: dict[str, list[Track]] = {}
    problems: list[Problem] = []
    for groups in members.values():
        if len(groups) >= MIN_GROUPS:
            continue
        for name, copies in groups.items():
            longest = max(copies, key=lambda t: (t.frames, t.source))
            free = not any(t.split for t in copies)
            if longest.seconds < LONG_S or not free or len(genres_of_recording[name]) > 1:
                continue
            pieces = cut(audio / longest.audio, silent=SILENT)
            if len(pieces) < MIN_GROUPS:
                continue
            replacements[longest.id] = _as_tracks(longest, pieces, sample_rate)
            problems.append(Problem(longest.source, _cut_message(longest, pieces), "cut"))
            for t in copies:
                if t is not longest:
                    replacements[t.id] = []
                    problems.append(Problem(t.source, f"{SAME_SOUND} {longest.source}, which is cut", "skipped"))
    remaining = [piece for t in tracks for piece in replacements.get(t.id, [t])]
    return remaining, problems, {t.genre for t in tracks if replacements.get(t.id)}


def _as_tracks(track: Track, pieces: Sequence[Piece], sample_rate: int) -> list[Track]:
    return [
        replace(
            track, id=f"{track.content}-{i:03d}", title=f"{track.title} ({i} of {len(pieces)})", split=p.split,
            start=p.start, frames=p.frames, seconds=round(p.frames / sample_rate, 3), peak=round(p.peak, 5),
            rms=round(p.rms, 6),
        )
        for i, p in enumerate(pieces, 1)
    ]  # fmt: skip


def _cut_message(track: Track, pieces: Sequence[Piece]) -> str:
    left_out = track.frames - sum(p.frames for p in pieces)
    seconds = left_out * track.seconds / track.frames
    silent = " and silent pieces" if seconds > 2 * GAP_S + 1 else ""
    return (
        f"one long recording ({track.seconds / 60:.1f} min): cut into {len(pieces)} pieces so that some can be held "
        f"out; {seconds:.0f} s (the gaps between training, validation and test{silent}) are left out"
    )
