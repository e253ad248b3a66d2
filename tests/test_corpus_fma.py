"""FMA's tables with malformed rows, missing files and foreign files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import soundfile
from conftest import RATE, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.base.errors import CorpusError, UsageError
from noizenet.corpus.build import build, read_problems
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.fma import FmaSource
from noizenet.corpus.fma_tables import has_header, read_artists, read_genres, read_tracks_table, top_genre

HEADER = [
    ["", "artist", "artist", "set", "set", "track", "track", "track", "track"],
    ["", "id", "name", "split", "subset", "genre_top", "title", "genres", "genres_all"],
    ["track_id", "", "", "", "", "", "", "", ""],
]
GENRES = "genre_id,#tracks,parent,title,top_level\n1,9,0,Rock,1\n2,9,1,Punk,1\n3,9,1,Grunge,1\n7,9,0,Jazz,7\n"


def row(number: object, **changes: object) -> list[str]:
    values = {
        "id": number, "name": f"artist of {number}", "split": "training", "subset": "small", "genre": "Rock",
        "title": f"song {number}", "genres": "[2]", "all": "[2, 1]",
    } | changes  # fmt: skip
    return [str(v) for v in (number, *values.values())]


def tree(folder: Path, rows: list[list[str]], present: list[str], genres: str | None = GENRES) -> Path:
    """Write a tree of the small subset; `present` are paths below its audio folder."""
    meta, audio = folder / "fma_metadata", folder / "fma_small"
    meta.mkdir(parents=True)
    with (meta / "tracks.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as handle:
        csv.writer(handle).writerows([*HEADER, *rows])
    if genres is not None:
        (meta / "genres.csv").write_text(genres)
    for i, name in enumerate(present):
        (audio / name).parent.mkdir(parents=True, exist_ok=True)
        with (audio / name).open("wb") as handle:
            soundfile.write(handle, tone(1.5, 44_100, 200 + 15 * i), 44_100, format="MP3")
    return folder


def quick(source: Path, out: Path) -> tuple[dict[int, object], dict[str, tuple[str, str]], Corpus]:
    c = build(source, out, sample_rate=RATE, workers=1)
    reported = {Path(p.path).name: (p.action, p.reason) for p in read_problems(c.folder)}
    return {int(Path(t.source).stem): t for t in c.tracks}, reported, c


def mp3(number: int) -> str:
    return f"000/{number:06d}.mp3"


def test_malformed_rows_are_skipped_and_the_others_are_kept(tmp_path: Path) -> None:
    rows = [
        row(10), row(11, id=""), row(12, id="", name=""), row(13, id="five"), row(14), row(14), row(15), row(15, genre="Jazz"),
        [*row(16), "one", "too many"], row("x17"), row(""), row(18.5), ["19"], row(20, title="caf\udce9\nlive"), row(21, genre="  Jazz "),
    ]  # fmt: skip
    numbers = [*range(10, 17), 19, 20, 21]
    tracks, reported, c = quick(tree(tmp_path / "f", rows, [mp3(n) for n in numbers]), tmp_path / "c")
    assert c.about["layout"] == "fma"
    assert sorted(tracks) == [10, 11, 12, 13, 14, 20, 21]
    assert tracks[11].artist == "artist of 11"  # type: ignore[attr-defined]
    assert tracks[12].artist == ""  # type: ignore[attr-defined]
    assert tracks[20].title == "caf\\xe9 live"  # type: ignore[attr-defined]
    assert c.genres == ["Jazz", "Rock"]
    expected = {
        "000011.mp3": ("repaired", "no artist number"), "000012.mp3": ("repaired", "no artist name or number"),
        "000014.mp3": ("repaired", "more than once"), "000015.mp3": ("skipped", "more than once"),
        "000016.mp3": ("skipped", "not listed"), "000019.mp3": ("skipped", "genre"),
    }  # fmt: skip
    for name, (action, reason) in expected.items():
        assert reported[name][0] == action, name
        assert reason in reported[name][1], name
    of_table = [p.reason for p in read_problems(c.folder) if p.path.endswith("tracks.csv")]
    assert len(of_table) == 4
    assert any("11 fields" in reason for reason in of_table)
    assert "000010.mp3" not in reported


def test_a_track_without_top_genre_gets_the_most_common_one_of_its_genres(tmp_path: Path) -> None:
    rows = [
        row(10, genre="", genres="[7, 2, 3]"), row(11, genre="", genres="[7, 2]"), row(12, genre="", genres="[]", all="[3]"),
        row(13, genre="", genres="[99]", all="[]"), row(14, genre="", genres="", all=""),
    ]  # fmt: skip
    folder = tree(tmp_path / "f", rows, [mp3(n) for n in range(10, 15)])
    tracks, reported, _ = quick(folder, tmp_path / "c")
    assert {n: t.genre for n, t in tracks.items()} == {10: "Rock", 11: "Jazz", 12: "Rock"}  # type: ignore[attr-defined]
    assert {reported[f"0000{n}.mp3"][0] for n in (10, 11, 12)} == {"repaired"}
    assert {reported[f"0000{n}.mp3"][0] for n in (13, 14)} == {"skipped"}
    (folder / "fma_metadata" / "genres.csv").unlink()
    with pytest.raises(CorpusError, match="no usable"):
        quick(folder, tmp_path / "d")
    assert all("no genres.csv" in p.reason for p in read_problems(tmp_path / "d"))


def test_missing_and_foreign_files_are_reported(tmp_path: Path) -> None:
    rows = [row(n) for n in range(10, 16)] + [row(30, subset="medium")]
    folder = tree(tmp_path / "f", rows, [mp3(10), mp3(11), "000/cover.mp3", "000/000012.MP3"])
    soundfile.write(folder / "fma_small" / "000" / "000013.flac", tone(1.5), RATE)
    (folder / "fma_small" / "000" / "._000014.mp3").write_bytes(b"x")
    (folder / "fma_small" / "000" / "notes.txt").write_text("x")
    tracks, reported, _ = quick(folder, tmp_path / "c")
    assert sorted(tracks) == [10, 11, 12]
    assert "not a track number" in reported["cover.mp3"][1]
    assert "mp3 files" in reported["000013.flac"][1]
    assert reported["._000014.mp3"][0] == reported["notes.txt"][0] == "ignored"
    missing = {
        name for name, (action, reason) in reported.items() if "file is missing" in reason and action == "skipped"
    }
    assert missing == {"000014.mp3", "000015.mp3"}
    assert "000030.mp3" not in reported


def test_a_band_called_311_is_not_taken_for_fma(tmp_path: Path) -> None:
    src = tmp_path / "music"
    for i, name in enumerate(("311/01 Down.mp3", "311/02 Amber.mp3", "000/000001.mp3")):
        (src / name).parent.mkdir(parents=True, exist_ok=True)
        with (src / name).open("wb") as handle:
            soundfile.write(handle, tone(1.5, 44_100, 200 + 20 * i), 44_100, format="MP3")
    assert not FmaSource.recognises(src)
    (src / "tracks.csv").write_text("title,artist,track\nDown,311,1\n")
    assert not FmaSource.recognises(src)
    c = build(src, tmp_path / "c", sample_rate=RATE, workers=1)
    assert (c.about["layout"], c.genres) == ("folders", ["000", "311"])
    with pytest.raises(CorpusError, match=r"not FMA's tracks\.csv"):
        build(src, tmp_path / "d", layout="fma", sample_rate=RATE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not FMA's"), (b"\xff\xfe\x00", "not FMA's"), (b"a\n", "not FMA's"), (b'x,"y\n1,2\n', "not FMA's"),
        (b",set,track\n,split,genre_top\n", "no column set.subset"),
    ],
)  # fmt: skip
def test_tables_that_are_not_fma_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    folder = tree(tmp_path / "f", [row(2)], [mp3(2)])
    (folder / "fma_metadata" / "tracks.csv").write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        build(folder, tmp_path / "c", layout="fma", sample_rate=RATE)
    (folder / "fma_metadata" / "tracks.csv").unlink()
    (folder / "fma_metadata" / "tracks.csv").mkdir()
    with pytest.raises(UsageError, match=r"no tracks\.csv found"):
        build(folder, tmp_path / "c", layout="fma", sample_rate=RATE)


def test_damaged_side_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("artist_id,artist_name\n1,A\n,B\nx,C\n4,\n5,D,too,many\n")
    assert read_artists(path) == {1: "A", 5: "D"}
    path.write_text("genre_id,title,top_level\n1,Rock,1\n2,Punk,1\nx,Y,1\n3,Lost,99\n4,Z,\n")
    assert read_genres(path) == {1: "Rock", 2: "Rock"}
    for read in (read_artists, read_genres):
        path.write_text("a,b\n1,2\n")
        with pytest.raises(CorpusError, match="not FMA's"):
            read(path)


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(cells, max_size=11), max_size=8))
def test_valid_rows_are_read_between_any_others(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("t") / "tracks.csv"
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([*HEADER, row(900001), *rows, row(900002)])
    table = read_tracks_table(path)
    assert has_header(path)
    assert {900001, 900002} <= set(table.rows.index)
    assert table.rows.loc[900002, "title"] == "song 900002"
    assert table.rows.index.is_unique


def test_the_first_top_genre_wins_a_tie() -> None:
    tops = {1: "Rock", 2: "Jazz", 3: "Rock"}
    for text, expected in (("[2, 1]", "Jazz"), ("[2, 1, 3]", "Rock"), ("nonsense", ""), ("[8]", "")):
        assert top_genre({"genres": text, "genres_all": ""}, tops) == expected
