"""The Free Music Archive dataset (FMA), as published by its authors.

Expected files, at most two levels below the folder: ``tracks.csv`` (with its header of two rows plus index row),
optionally ``genres.csv`` and ``raw_artists.csv``, and audio files such as ``000/000002.mp3``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from noizenet.base.errors import UsageError
from noizenet.base.names import genre_name, relative_name
from noizenet.corpus.fma_tables import artist_of, has_header, read_artists, read_genres, read_tracks_table, top_genre
from noizenet.corpus.folder import scan_recordings
from noizenet.corpus.source import Problem, Scan, SourceTrack

SUBSETS = ("small", "medium", "large", "full")
SPLITS = {"training": "train", "validation": "validation", "test": "test"}

KNOWN_BAD_CLIPS = frozenset({
    1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571,
    99134, 105247, 108924, 108925, 126981, 127336, 133297, 143992,
})  # fmt: skip
"""Clips that were cut at the wrong position because of wrong metadata, some of zero length.

Listed by the dataset's authors (github.com/mdeff/fma, issue 8). The untrimmed tracks are not affected.
"""

_DEPTH = 2


class FmaSource:
    """An FMA folder: official splits, top-level genres, and artists from the metadata."""

    licence: ClassVar[str] = (
        "metadata CC BY 4.0; each recording under its artist's licence (tracks.csv, column license)"
    )
    citation: ClassVar[str] = (
        "M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson: FMA: A Dataset for Music Analysis. "
        "ISMIR 2017. arXiv:1612.01840"
    )
    checksums: ClassVar[Mapping[str, str]] = {
        "fma_metadata.zip": "f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
        "fma_small.zip": "ade154f733639d52e35e32f5593efe5be76c6d70",
        "fma_medium.zip": "c67b69ea232021025fca9231fc1c7c1a063ab50b",
        "fma_large.zip": "497109f4dd721066b5ce5e5f250ec604dc78939e",
        "fma_full.zip": "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab",
    }

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Return whether there are numbered audio folders and a ``tracks.csv`` with FMA's header."""
        return bool(_audio_roots(folder)) and any(has_header(p) for p in _find_all(folder, "tracks.csv"))

    @classmethod
    def scan(cls, folder: Path, *, exclude: Path) -> Scan:
        """List the tracks whose audio is present; report missing, ambiguous and foreign files.

        Raises
        ------
        UsageError
            If there is no ``tracks.csv`` or no audio.
        CorpusError
            If ``tracks.csv`` does not have FMA's format.
        """
        tables = _find_all(folder, "tracks.csv")
        if not tables:
            raise UsageError(f"{folder}: no tracks.csv found; unpack fma_metadata.zip here, or use --layout folders")
        excluded = exclude.resolve()
        inside = folder.resolve() in excluded.parents  # the corpus folder may be below its source
        roots = [r for r in _audio_roots(folder) if not (inside and excluded in (r.resolve(), *r.resolve().parents))]
        if not roots:
            raise UsageError(f"{folder}: no audio folders 000, 001, … found; unpack fma_small.zip (or larger) here")
        metadata = _Metadata(folder, next((p for p in tables if has_header(p)), tables[0]))
        tracks: dict[int, SourceTrack] = {}
        problems = [Problem(relative_name(metadata.path, folder), line, "ignored") for line in metadata.table.malformed]
        for root in roots:
            present: set[int] = set()
            for subfolder in sorted(root.glob("[0-9][0-9][0-9]")):
                if not subfolder.is_dir():
                    continue
                paths, ignored = scan_recordings(subfolder)
                name = relative_name(subfolder, folder)
                problems += [Problem(f"{name}/{p.path}", p.reason, p.action) for p in ignored]
                for path in paths:
                    number = _track_number(path)
                    present |= {number} if number is not None else set()
                    problems += _add_track(path, number, metadata, tracks, clips="full" not in root.name)
            problems += metadata.missing(root, present)
        return Scan(list(tracks.values()), problems)


class _Metadata:
    """The metadata tables of an FMA folder."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder, self.path = folder, path
        self.table = read_tracks_table(path)
        self.rows: dict[int, dict[str, Any]] = self.table.rows.to_dict("index")  # type: ignore[assignment]
        artists, genres = (_find_all(folder, name) for name in ("raw_artists.csv", "genres.csv"))
        self.artists = read_artists(artists[0]) if artists else {}
        self.tops = read_genres(genres[0]) if genres else None

    def missing(self, root: Path, present: set[int]) -> list[Problem]:
        """List the tracks of the subset in the folder's name whose files are missing."""
        subset = next((s for s in SUBSETS if s in root.name.lower()), "")
        if not subset:
            return []
        wanted = SUBSETS[: SUBSETS.index(subset) + 1]
        absent = sorted(n for n, row in self.rows.items() if row["subset"] in wanted and n not in present)
        prefix = relative_name(root, self.folder)
        reason = f"listed in tracks.csv for the subset {subset}, but the file is missing"
        return [Problem(f"{prefix}/{n // 1000:03d}/{n:06d}.mp3", reason, "skipped") for n in absent]


def _add_track(
    path: Path, number: int | None, metadata: _Metadata, tracks: dict[int, SourceTrack], *, clips: bool
) -> list[Problem]:
    """Add a file to the tracks; return the reason if it is skipped, or the repairs of its metadata."""
    name = relative_name(path, metadata.folder)
    refusal = _refusal(path, number, metadata, clips=clips)
    if number is not None and number in tracks and not refusal:
        refusal = f"the track is read from {relative_name(tracks[number].path, metadata.folder)}"
    if refusal or number is None:
        return [Problem(name, refusal, "skipped")]
    row = metadata.rows[number]
    repairs = []
    genre = genre_name(str(row["genre"]))
    if not genre:
        if metadata.tops is None:
            return [Problem(name, "no top-level genre in tracks.csv, and no genres.csv to find it with", "skipped")]
        genre = genre_name(top_genre(row, metadata.tops))
        if not genre:
            return [Problem(name, "no top-level genre in tracks.csv, nor any genre that belongs to one", "skipped")]
        repairs.append(f"no top-level genre in tracks.csv; most of its genres belong to {genre}")
    artist = artist_of(row, metadata.artists)
    if not artist:
        repairs.append("no artist name or number in tracks.csv; treated as a separate artist")
    elif not str(row["artist_id"]):
        repairs.append("no artist number in tracks.csv; the artist's name is used")
    if number in metadata.table.repeated:
        repairs.append("listed more than once in tracks.csv, with identical rows")
    split = SPLITS.get(str(row["split"]), "")
    tracks[number] = SourceTrack(path=path, genre=genre, artist=artist, title=str(row["title"]), split=split)
    return [Problem(name, "; ".join(repairs), "repaired")] if repairs else []


def _refusal(path: Path, number: int | None, metadata: _Metadata, *, clips: bool) -> str:
    if path.suffix.lower() != ".mp3":
        return "FMA's recordings are mp3 files; use --layout folders for others"
    if number is None:
        return "the file name is not a track number"
    if number in metadata.table.ambiguous:
        return metadata.table.ambiguous[number]
    if number not in metadata.rows:
        return "not listed in tracks.csv"
    if clips and number in KNOWN_BAD_CLIPS:
        return "known-bad clip (listed by the dataset's authors)"
    return ""


def _track_number(path: Path) -> int | None:
    stem = path.stem
    return int(stem) if stem.isascii() and stem.isdigit() and len(stem) < 10 else None


def _find_all(folder: Path, name: str) -> list[Path]:
    return [p for depth in range(_DEPTH + 1) for p in sorted(folder.glob("*/" * depth + name)) if p.is_file()]


def _audio_roots(folder: Path) -> list[Path]:
    roots = []
    for depth in range(_DEPTH + 1):
        for path in sorted(folder.glob("*/" * depth) if depth else [folder]):
            roots += [path] if path.is_dir() and any(path.glob("[0-9][0-9][0-9]/[0-9]*.mp3")) else []
    return roots
