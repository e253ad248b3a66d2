"""The Free Music Archive dataset (FMA), as published by its authors.

Expected below the folder, at any depth up to two: ``tracks.csv`` (with its header of two rows plus index
row), ``genres.csv``, optionally ``raw_artists.csv``, and the audio at ``000/000002.mp3``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from noizenet.base.errors import CorpusError, UsageError
from noizenet.corpus.source import Problem, Scan, SourceTrack

if TYPE_CHECKING:
    import pandas as pd

SUBSETS = ("small", "medium", "large", "full")
SPLITS = {"training": "train", "validation": "validation", "test": "test"}

KNOWN_BAD_CLIPS = frozenset({
    1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571,
    99134, 105247, 108924, 108925, 126981, 127336, 133297, 143992,
})  # fmt: skip
"""Clips that were cut at the wrong place because of wrong metadata, some of zero length.

Listed by the dataset's authors (github.com/mdeff/fma, issue 8). The untrimmed tracks are sound.
"""

_DEPTH = 2


class FmaSource:
    """The FMA tree: official split, top-level genres, artists from the metadata."""

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
        """Tell whether there is a ``tracks.csv`` and numbered audio folders."""
        return _find(folder, "tracks.csv") is not None and bool(_audio_roots(folder))

    @classmethod
    def scan(cls, folder: Path, *, exclude: Path) -> Scan:
        """List the tracks whose audio is present.

        Raises
        ------
        UsageError
            If the tree has no ``tracks.csv`` or no audio.
        CorpusError
            If ``tracks.csv`` is not what FMA publishes.
        """
        table_path = _find(folder, "tracks.csv")
        if table_path is None:
            raise UsageError(f"{folder}: no tracks.csv found; unpack fma_metadata.zip here, or use --layout folders")
        hidden = exclude.resolve()
        inside = folder.resolve() in hidden.parents  # the corpus folder may lie below its own source
        roots = [r for r in _audio_roots(folder) if not (inside and hidden in (r.resolve(), *r.resolve().parents))]
        if not roots:
            raise UsageError(f"{folder}: no audio folders 000, 001, … found; unpack fma_small.zip (or larger) here")
        table = read_tracks(table_path)
        names = _artist_names(folder)
        tracks: list[SourceTrack] = []
        problems: list[Problem] = []
        for root in roots:
            clips = "full" not in root.name
            for path in sorted(root.glob("[0-9][0-9][0-9]/*.mp3")):
                found = _describe(path, table, names, clips=clips)
                if isinstance(found, str):
                    problems.append(Problem(str(path.relative_to(folder)), found, "skipped"))
                else:
                    tracks.append(found)
        return Scan(tracks, problems)


def read_tracks(path: Path) -> pd.DataFrame:
    """Read ``tracks.csv``.

    Returns
    -------
    DataFrame
        Indexed by track number; columns ``genre``, ``split``, ``subset``, ``artist_id``, ``artist``,
        ``title``, ``licence``.

    Raises
    ------
    CorpusError
        If the header is not FMA's.
    """
    import pandas as pd

    wanted = {
        ("track", "genre_top"): "genre",
        ("set", "split"): "split",
        ("set", "subset"): "subset",
        ("artist", "id"): "artist_id",
        ("artist", "name"): "artist",
        ("track", "title"): "title",
        ("track", "license"): "licence",
    }
    try:
        # The published file has two header rows (group, name) and a third line that only names the index.
        raw = pd.read_csv(path, index_col=0, header=[0, 1], low_memory=False)
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise CorpusError(f"{path}: not FMA's tracks.csv ({error}); download fma_metadata.zip again") from error
    missing = [".".join(c) for c in wanted if c not in raw.columns and c != ("track", "license")]
    if missing:
        raise CorpusError(f"{path}: not FMA's tracks.csv (no column {missing[0]}); download fma_metadata.zip again")
    if ("track", "license") not in raw.columns:
        raw["track", "license"] = ""
    table = raw[list(wanted)].copy()
    table.columns = pd.Index(list(wanted.values()))
    table.index = pd.Index(pd.to_numeric(table.index.to_series(), errors="coerce"))
    table = table[table.index.notna()]
    table.index = table.index.astype(int)
    return table.fillna({"genre": "", "split": "", "subset": "", "artist": "", "title": "", "licence": ""})


def read_genres(path: Path) -> dict[int, str]:
    """Read ``genres.csv``: genre number → name of its top-level genre."""
    import pandas as pd

    table = pd.read_csv(path, index_col=0)
    titles = table["title"].to_dict()
    return {int(str(i)): str(titles[top]) for i, top in table["top_level"].items()}


def _describe(path: Path, table: pd.DataFrame, names: Mapping[int, str], *, clips: bool) -> SourceTrack | str:
    try:
        number = int(path.stem)
    except ValueError:
        return "its name is not a track number"
    if number not in table.index:
        return "not listed in tracks.csv"
    if clips and number in KNOWN_BAD_CLIPS:
        return "known-bad clip (listed by the dataset's authors)"
    row = table.loc[number]
    if not row["genre"]:
        return "no top-level genre in tracks.csv"
    artist_id = int(str(row["artist_id"]))
    return SourceTrack(
        path=path,
        genre=str(row["genre"]),
        artist=str(row["artist"] or names.get(artist_id, "") or f"artist {artist_id}"),
        title=str(row["title"]),
        split=SPLITS.get(str(row["split"]), ""),
    )


def _artist_names(folder: Path) -> dict[int, str]:
    path = _find(folder, "raw_artists.csv")
    if path is None:
        return {}
    import pandas as pd

    try:
        table = pd.read_csv(path, usecols=["artist_id", "artist_name"])
    except (ValueError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: not FMA's raw_artists.csv ({error}); remove it or download it again") from error
    return {int(i): str(n) for i, n in zip(table["artist_id"], table["artist_name"], strict=True)}


def _find(folder: Path, name: str) -> Path | None:
    for depth in range(_DEPTH + 1):
        found = sorted(folder.glob("*/" * depth + name))
        if found:
            return found[0]
    return None


def _audio_roots(folder: Path) -> list[Path]:
    roots = []
    for depth in range(_DEPTH + 1):
        for place in sorted(folder.glob("*/" * depth) if depth else [folder]):
            roots += [place] if place.is_dir() and any(place.glob("[0-9][0-9][0-9]/[0-9]*.mp3")) else []
    return roots
