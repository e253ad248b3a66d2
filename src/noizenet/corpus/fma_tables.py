"""Read the tables of the Free Music Archive dataset; a malformed row is skipped and the others are kept."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noizenet.base.errors import CorpusError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    ("track", "genre_top"): "genre",
    ("set", "split"): "split",
    ("set", "subset"): "subset",
    ("artist", "id"): "artist_id",
    ("artist", "name"): "artist",
    ("track", "title"): "title",
    ("track", "license"): "licence",
    ("track", "genres"): "genres",
    ("track", "genres_all"): "genres_all",
}
OPTIONAL = {"licence", "genres", "genres_all"}
REMEDY = "download fma_metadata.zip again"


@dataclass
class TracksTable:
    """``tracks.csv``.

    Attributes
    ----------
    rows : DataFrame
        Indexed by unique track numbers; columns are the values of `COLUMNS`, with empty text for missing values.
    ambiguous : dict of int to str
        Track number → why it is not in `rows`.
    repeated : set of int
        Tracks with several identical rows.
    malformed : list of str
        Descriptions of rows that belong to no track.
    """

    rows: pd.DataFrame
    ambiguous: dict[int, str] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)
    malformed: list[str] = field(default_factory=list)


def has_header(path: Path) -> bool:
    """Return whether a ``tracks.csv`` has FMA's header: groups in the first row and names in the second."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as handle:
            groups, names = (next(csv.reader([handle.readline(1 << 16)]), []) for _ in range(2))
    except (OSError, csv.Error):
        return False
    found = set(zip(groups, names, strict=False))
    return {("track", "genre_top"), ("set", "split")} <= found


def read_tracks(path: Path) -> pd.DataFrame:
    """Return the rows of ``tracks.csv``; see :class:`TracksTable`.

    Raises
    ------
    CorpusError
        If the header is not FMA's.
    """
    return read_tracks_table(path).rows


def read_tracks_table(path: Path) -> TracksTable:
    """Read ``tracks.csv``, with its malformed and repeated rows.

    Raises
    ------
    CorpusError
        If the header is not FMA's.
    """
    import pandas as pd

    raw, malformed = _read_rows(path)
    missing = [".".join(c) for c, name in COLUMNS.items() if c not in raw.columns and name not in OPTIONAL]
    if missing:
        raise CorpusError(f"{path}: not FMA's tracks.csv (no column {missing[0]}); {REMEDY}")
    table = pd.DataFrame({n: raw[c] if c in raw.columns else "" for c, n in COLUMNS.items()}, index=raw.index)
    table = table.astype(object).where(table.notna(), "")
    numbers = pd.to_numeric(table.index.to_series().astype(str), errors="coerce")
    good = (numbers.notna() & (numbers >= 0) & (numbers % 1 == 0) & (numbers < 10**9)).to_numpy()
    # The published file has a third line that only names the index.
    malformed += [
        f"a row begins with {str(i)!r} instead of a track number" for i in table.index[~good] if str(i) != "track_id"
    ]
    table = table[good]
    table.index = pd.Index(numbers[good].astype(int).to_numpy())
    return _unique_rows(table, malformed)


def read_genres(path: Path) -> dict[int, str]:
    """Read ``genres.csv``: genre number → name of its top-level genre.

    Raises
    ------
    CorpusError
        If the file is not FMA's.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, index_col=0, encoding_errors="backslashreplace")
        titles = {_number(i): str(t) for i, t in table["title"].items()}
        tops = {_number(i): _number(top) for i, top in table["top_level"].items()}
    except (ValueError, KeyError, OSError) as error:
        raise CorpusError(f"{path}: not FMA's genres.csv ({error}); {REMEDY}") from error
    return {i: titles[top] for i, top in tops.items() if i is not None and top is not None and top in titles}


def read_artists(path: Path) -> dict[int, str]:
    """Read ``raw_artists.csv``: artist number → name; rows without a number are skipped.

    Raises
    ------
    CorpusError
        If the file is not FMA's.
    """
    import pandas as pd

    try:
        table = pd.read_csv(
            path, usecols=["artist_id", "artist_name"], on_bad_lines="skip", encoding_errors="backslashreplace"
        )
    except (ValueError, OSError) as error:
        raise CorpusError(f"{path}: not FMA's raw_artists.csv ({error}); remove it or download it again") from error
    pairs = zip(map(_number, table["artist_id"]), table["artist_name"], strict=True)
    return {i: str(name) for i, name in pairs if i is not None and isinstance(name, str)}


def artist_of(row: Mapping[str, Any], names: Mapping[int, str]) -> str:
    """Return a track's artist by name, else by number, or an empty string if both are unknown."""
    number = _number(row["artist_id"])
    name = str(row["artist"]).strip()
    if name or number is None:
        return name
    return names.get(number, "") or f"artist {number}"


def top_genre(row: Mapping[str, Any], tops: Mapping[int, str]) -> str:
    """Return the top-level genre that most of a track's genres belong to; the first one wins a tie.

    FMA leaves ``genre_top`` empty for tracks with genres of several top-level genres.
    """
    for column in ("genres", "genres_all"):
        found = [tops[int(n)] for n in re.findall(r"\d+", str(row[column])) if int(n) in tops]
        if found:
            return Counter(found).most_common(1)[0][0]
    return ""


def _read_rows(path: Path) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd

    malformed: list[str] = []

    def record_row(fields: list[str]) -> None:
        malformed.append(f"the row of {fields[0]!r} has {len(fields)} fields, more than the header")

    options: dict[str, Any] = {"index_col": 0, "header": [0, 1], "encoding_errors": "backslashreplace"}
    try:
        try:
            return pd.read_csv(path, low_memory=False, **options), malformed
        except pd.errors.ParserError:  # the Python engine is slower, but reports the bad rows
            return pd.read_csv(path, engine="python", on_bad_lines=record_row, **options), malformed
    except (ValueError, IndexError, OSError, csv.Error) as error:
        raise CorpusError(f"{path}: not FMA's tracks.csv ({' '.join(str(error).split())}); {REMEDY}") from error


def _unique_rows(table: pd.DataFrame, malformed: list[str]) -> TracksTable:
    found = TracksTable(table, malformed=malformed)
    more = table.index.duplicated(keep=False)
    for number, rows in table[more].groupby(level=0):
        if len(rows.astype(str).drop_duplicates()) == 1:
            found.repeated.add(int(str(number)))
        else:
            found.ambiguous[int(str(number))] = "listed more than once in tracks.csv, with conflicting rows"
    once = table[~table.index.duplicated(keep="first")]
    found.rows = once[~once.index.isin(list(found.ambiguous))]
    return found


def _number(value: object) -> int | None:
    """Return a whole number from a table cell; None for anything else."""
    try:
        number = float(str(value))
        return int(number) if number == int(number) else None
    except (ValueError, OverflowError):
        return None
