"""Corpora from folders, FMA and procedural songs; splits, problems, resuming."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import crashing
import numpy as np
import pytest
import soundfile
from conftest import RATE, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.audio.read import read
from noizenet.base.errors import CorpusError, LockedError, NoizenetError, UsageError
from noizenet.corpus.build import build, read_problems
from noizenet.corpus.corpus import Corpus, Track
from noizenet.corpus.excerpts import excerpt_starts
from noizenet.corpus.fma import KNOWN_BAD_CLIPS, FmaSource
from noizenet.corpus.fma_tables import read_genres, read_tracks
from noizenet.corpus.split import Unit, assign_splits
from noizenet.corpus.synth.song import render
from noizenet.corpus.synth.styles import STYLES
from noizenet.corpus.synthetic import build_synthetic


def save(path: Path, seconds: float = 2.0, hz: float = 220.0, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, hz=hz), RATE, **options)


def quick(source: Path, out: Path, **options: object) -> Corpus:
    return build(source, out, sample_rate=RATE, workers=1, **options)  # type: ignore[arg-type]


class TestFolders:
    def test_genre_folders(self, tmp_path: Path) -> None:
        for genre in ("jazz", "rock"):
            for i in range(4):
                save(tmp_path / "src" / genre / "album" / f"{genre}{i}.wav", hz=100 + 10 * i + ord(genre[0]))
        (tmp_path / "src" / "jazz" / "cover.jpg").write_bytes(b"x")
        (tmp_path / "src" / ".hidden.wav").write_bytes(b"x")
        c = quick(tmp_path / "src", tmp_path / "out")
        assert c.genres == ["jazz", "rock"]
        assert len(c.tracks) == 8
        for genre in c.genres:
            count = Counter(t.split for t in c.tracks if t.genre == genre)
            assert count == {"train": 2, "validation": 1, "test": 1}
        assert [(p.path, p.action) for p in read_problems(c.folder)] == [
            (".hidden.wav", "ignored"),
            ("jazz/cover.jpg", "ignored"),
        ]

    def test_a_flat_folder_is_one_genre_with_its_name(self, tmp_path: Path) -> None:
        save(tmp_path / "My Album" / "one.wav")
        c = quick(tmp_path / "My Album", tmp_path / "out")
        assert c.genres == ["My Album"]
        assert [t.split for t in c.tracks] == ["train"]

    def test_prepared_audio_equals_the_recording(self, tmp_path: Path) -> None:
        x = tone(3.0, 44_100)
        (tmp_path / "src").mkdir()
        soundfile.write(tmp_path / "src" / "a.flac", np.stack([x, x], 1), 44_100)
        mono = build(tmp_path / "src", tmp_path / "mono", workers=1)
        stereo = build(tmp_path / "src", tmp_path / "stereo", workers=1, channels=2, sample_rate=44_100)
        reference = read(tmp_path / "src" / "a.flac", sample_rate=22_050, channels=1).samples
        prepared = mono.read(mono.tracks[0])[:, 0] / 32768
        assert np.abs(prepared - reference).max() < 1e-4
        assert stereo.read(stereo.tracks[0]).shape == (3 * 44_100, 2)
        assert mono.read(mono.tracks[0], 100, 50).shape == (50, 1)
        mono.close()
        stereo.close()

    def test_a_corpus_folder_inside_the_source_is_not_scanned(self, tmp_path: Path) -> None:
        save(tmp_path / "music" / "a.wav")
        c = quick(tmp_path / "music", tmp_path / "music" / "corpus")
        again = quick(tmp_path / "music", tmp_path / "music" / "corpus")
        assert len(c.tracks) == len(again.tracks) == 1

    def test_a_corpus_of_other_recordings_is_not_replaced(self, tmp_path: Path) -> None:
        for name in ("mine/g/a", "mine/g/b", "other/h/c"):
            save(tmp_path / f"{name}.wav", hz=220.0 + 50 * len(name) + ord(name[-1]))
        before = quick(tmp_path / "mine", tmp_path / "c")
        before_bytes = {p: p.read_bytes() for p in before.folder.rglob("*") if p.is_file()}
        with pytest.raises(UsageError, match=r"holds a corpus of other recordings \(for instance g/a\.wav"):
            quick(tmp_path / "other", tmp_path / "c")
        assert {p: p.read_bytes() for p in before.folder.rglob("*") if p.is_file()} == before_bytes
        (tmp_path / "mine" / "g" / "a.wav").rename(tmp_path / "mine" / "g" / "z.wav")
        assert [t.source for t in quick(tmp_path / "mine", tmp_path / "c").tracks] == ["g/b.wav", "g/z.wav"]

    def test_links_are_followed_once(self, tmp_path: Path) -> None:
        save(tmp_path / "src" / "g" / "a.wav")
        (tmp_path / "src" / "g" / "loop").symlink_to(tmp_path / "src")
        assert len(quick(tmp_path / "src", tmp_path / "out").tracks) == 1


class TestProblems:
    def test_bad_files_are_reported_and_good_files_are_built(self, tmp_path: Path) -> None:
        src = tmp_path / "src" / "g"
        save(src / "good.wav")
        save(src / "8 bit é 音.wav", hz=330, subtype="PCM_U8")
        (src / "empty.mp3").touch()
        (src / "text.mp3").write_text("hello " * 500)
        soundfile.write(src / "zero.wav", np.zeros(0), RATE)
        soundfile.write(src / "silent.wav", np.zeros(RATE * 2), RATE)
        soundfile.write(src / "dc.wav", np.full(RATE * 2, 0.25), RATE)
        soundfile.write(src / "nan.wav", np.full(RATE * 2, np.nan), RATE, subtype="FLOAT")
        soundfile.write(src / "short.wav", tone(0.2), RATE)
        soundfile.write(src / "wide.wav", np.stack([tone(2, 192_000, 500)] * 6, 1), 192_000)
        (src / "same.wav").write_bytes((src / "good.wav").read_bytes())
        rng = np.random.default_rng(0)
        soundfile.write(src / "whole.flac", rng.uniform(-0.5, 0.5, 20 * RATE), RATE)
        data = (src / "whole.flac").read_bytes()
        (src / "whole.flac").unlink()
        (src / "cut.flac").write_bytes(data[: len(data) // 2])
        c = quick(tmp_path / "src", tmp_path / "out")
        found = {Path(p.path).name: p for p in read_problems(c.folder)}
        reasons = {
            "empty.mp3": "empty", "text.mp3": "readable|zero|damaged", "zero.wav": "zero length", "silent.wav": "silent",
            "dc.wav": "constant", "nan.wav": "NaN", "short.wav": "too short", "same.wav": "the same recording",
        }  # fmt: skip
        import re

        for name, reason in reasons.items():
            assert found[name].action == "skipped"
            assert re.search(reason, found[name].reason), (name, found[name].reason)
        assert found["cut.flac"].action == "kept in part"
        assert re.search("damaged after", found["cut.flac"].reason)
        assert sorted(Path(t.source).name for t in c.tracks) == sorted(
            ["8 bit é 音.wav", "cut.flac", "good.wav", "wide.wav"]
        )
        assert set(found) == {*reasons, "cut.flac"}

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda p: None, UsageError, "no such folder"),
            (lambda p: p.write_text("x"), UsageError, "is not a folder"),
            (lambda p: p.mkdir(), CorpusError, "holds no files"),
            (lambda p: (p.mkdir(), (p / "a.mp3").touch()), CorpusError, r"a\.mp3: the file is empty"),
            (lambda p: (p.mkdir(), [(p / f"{k}.mp3").touch() for k in "ab"]), CorpusError, r"problems\.csv"),
        ],
    )
    def test_unusable_sources_are_refused(
        self, tmp_path: Path, make: object, error: type[NoizenetError], message: str
    ) -> None:
        make(tmp_path / "src")  # type: ignore[operator]
        with pytest.raises(error, match=message):
            quick(tmp_path / "src", tmp_path / "out")

    def test_invalid_arguments_are_refused(self, tmp_path: Path) -> None:
        save(tmp_path / "src" / "a.wav")
        with pytest.raises(UsageError, match="channels"):
            build(tmp_path / "src", tmp_path / "o", channels=3)
        with pytest.raises(UsageError, match="sample rate"):
            build(tmp_path / "src", tmp_path / "o", sample_rate=10)
        with pytest.raises(UsageError, match="layout"):
            build(tmp_path / "src", tmp_path / "o", layout="tree")
        with pytest.raises(UsageError, match="another folder"):
            build(tmp_path / "src", tmp_path / "src")

    def test_a_crashing_decoder_skips_only_its_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from noizenet.corpus import workers

        for i in range(12):
            save(tmp_path / "src" / f"{i:02}.wav", hz=100 + i)
        monkeypatch.setattr(workers, "prepare_one", crashing.prepare_one)
        c = build(tmp_path / "src", tmp_path / "out", sample_rate=RATE, workers=2)
        assert len(c.tracks) == 11
        assert [(p.path, p.action) for p in read_problems(c.folder)] == [("02.wav", "skipped")]
        assert "killed twice" in read_problems(c.folder)[0].reason

    def test_a_crash_is_reported_on_one_core_with_one_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from noizenet.corpus import workers

        save(tmp_path / "src" / "02.wav")
        monkeypatch.setattr(workers, "prepare_one", crashing.prepare_one)
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
        with pytest.raises(CorpusError, match=r"02\.wav: its process was killed twice"):
            build(tmp_path / "src", tmp_path / "out", sample_rate=RATE)


class TestDamage:
    @pytest.mark.parametrize("keep", [0, 1, 4])
    def test_a_table_without_all_its_rows_is_damaged(self, corpus: Corpus, tmp_path: Path, keep: int) -> None:
        folder = tmp_path / "c"
        shutil.copytree(corpus.folder, folder, ignore=shutil.ignore_patterns("source"))
        table = folder / "tracks.csv"
        table.write_text("".join(table.read_text().splitlines(keepends=True)[:keep]))
        with pytest.raises(CorpusError, match=r"tracks\.csv: (damaged|missing).*build the corpus again"):
            Corpus(folder)

    @pytest.mark.parametrize("frames", ["-1", "0", "7", "9" * 30])
    def test_lengths_must_agree(self, corpus: Corpus, tmp_path: Path, frames: str) -> None:
        folder = tmp_path / "c"
        shutil.copytree(corpus.folder, folder, ignore=shutil.ignore_patterns("source"))
        with (folder / "tracks.csv").open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        rows[3]["frames"] = frames
        with (folder / "tracks.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        with pytest.raises(CorpusError, match=r"row 5: a length or level is impossible"):
            Corpus(folder)

    @pytest.mark.parametrize("text", ['{"format": null}', '{"format": "x"}', "[]", "{}", "7", "null"])
    def test_damaged_metadata_gives_a_readable_reason(self, corpus: Corpus, tmp_path: Path, text: str) -> None:
        folder = tmp_path / "c"
        shutil.copytree(corpus.folder, folder, ignore=shutil.ignore_patterns("source"))
        (folder / "corpus.json").write_text(text)
        with pytest.raises(CorpusError, match="a field is missing or has a wrong type"):
            Corpus(folder)

    @pytest.mark.parametrize("rate", [0, 999, 192_001, 10**9])
    def test_no_song_is_rendered_for_an_invalid_sample_rate(self, tmp_path: Path, rate: int) -> None:
        with pytest.raises(UsageError, match="sample rate"):
            build_synthetic(tmp_path / "c", minutes=0.1, sample_rate=rate)
        assert not (tmp_path / "c").exists()


class TestResuming:
    def test_a_killed_build_resumes(self, tmp_path: Path) -> None:
        for i in range(12):
            save(tmp_path / "src" / f"{i}.wav", seconds=60, hz=100 + i)
        code = "import sys, noizenet; noizenet.build_corpus(sys.argv[1], sys.argv[2], workers=1)"
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "src"), str(tmp_path / "out")])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(list((tmp_path / "out").glob("audio/[!.]*.json"))) < 3:
            time.sleep(0.005)
        process.kill()
        process.wait()
        done = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "audio").glob("[!.]*.wav")}
        assert len(done) >= 3
        c = build(tmp_path / "src", tmp_path / "out", workers=1)
        assert len(c.tracks) == 12
        reused = [p for p, t in done.items() if p.with_suffix(".json").exists() and p.stat().st_mtime_ns == t]
        assert len(reused) >= 3
        for leftover in (tmp_path / "out" / "audio").glob("*.part*"):
            leftover.unlink()  # of the killed process; never read as audio

    def test_a_damaged_prepared_file_is_converted_again(self, tmp_path: Path) -> None:
        save(tmp_path / "src" / "a.wav")
        c = quick(tmp_path / "src", tmp_path / "out")
        path = c.audio_path(c.tracks[0])
        good = path.read_bytes()
        path.write_bytes(good[:100])
        quick(tmp_path / "src", tmp_path / "out")
        assert path.read_bytes() == good

    def test_a_second_build_of_a_locked_folder_is_refused(self, tmp_path: Path) -> None:
        from filelock import FileLock

        save(tmp_path / "src" / "a.wav")
        (tmp_path / "out").mkdir()
        with FileLock(str(tmp_path / "out" / ".lock")), pytest.raises(LockedError, match="another process"):
            quick(tmp_path / "src", tmp_path / "out")


class TestOpening:
    def test_a_folder_that_is_not_a_corpus_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such corpus"):
            Corpus(tmp_path / "x")
        with pytest.raises(UsageError, match="not a corpus"):
            Corpus(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": 99}, "newer"),
            ({"sample_rate": "fast"}, "wrong type"),
            ({"genres": 3}, "damaged"),
            (None, "damaged"),
        ],
    )
    def test_damaged_metadata_is_refused(self, change: dict[str, object] | None, message: str, tmp_path: Path) -> None:
        save(tmp_path / "src" / "a.wav")
        c = quick(tmp_path / "src", tmp_path / "out")
        path = c.folder / "corpus.json"
        path.write_text("{" if change is None else json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(CorpusError, match=message):
            Corpus(c.folder)

    def test_a_missing_file_is_reported(self, tmp_path: Path) -> None:
        save(tmp_path / "src" / "a.wav")
        c = quick(tmp_path / "src", tmp_path / "out")
        c.audio_path(c.tracks[0]).unlink()
        with pytest.raises(CorpusError, match="missing or damaged"):
            c.read(c.tracks[0])
        (c.folder / "tracks.csv").unlink()
        with pytest.raises(CorpusError, match=r"tracks\.csv"):
            Corpus(c.folder)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.floats(0.5, 400), min_size=1, max_size=12), count=st.integers(1, 60))
def test_excerpts_are_spread_over_all_tracks(lengths: list[float], count: int) -> None:
    tracks = [Track(str(i), "", "", "", "", 0, s, 0, 0, "", "", "") for i, s in enumerate(lengths)]
    excerpts = excerpt_starts(tracks, count, 5.0)
    assert len(excerpts) == count
    for track, start in excerpts:
        assert 0 <= start <= max(0.0, track.seconds - 5.0)
    for track in tracks:  # in proportion to its length, up to rounding
        assert abs(sum(t is track for t, _ in excerpts) - count * track.seconds / sum(lengths)) < 1 + 1e-6
    assert [int(t.id) for t, _ in excerpts] == sorted(int(t.id) for t, _ in excerpts)


units = st.builds(
    Unit,
    key=st.uuids().map(str),
    genre=st.sampled_from(["a", "b"]),
    artist=st.sampled_from(["", "x", "y", "z", "w"]),
    seconds=st.floats(1, 1000),
)


@settings(max_examples=150, deadline=None)
@given(tracks=st.lists(units, min_size=1, max_size=40, unique_by=lambda u: u.key), seed=st.integers(0, 5))
def test_splits(tracks: list[Unit], seed: int) -> None:
    result = assign_splits(tracks, seed)
    assert set(result.split) == {t.key for t in tracks}
    assert assign_splits(tracks[::-1], seed) == result
    for genre in {t.genre for t in tracks}:
        members = [t for t in tracks if t.genre == genre]
        assert "train" in {result.split[t.key] for t in members} or any(t.artist for t in members)
    for artist in {t.artist for t in tracks} - {""}:
        of_artist = [t for t in tracks if t.artist == artist]
        if all(result.unit[t.genre] == "artist" for t in of_artist):
            assert len({result.split[t.key] for t in of_artist}) == 1


def test_official_splits_are_kept() -> None:
    tracks = [Unit(str(i), "g", f"a{i}", 10, split) for i, split in enumerate(["test", "train", "validation", "train"])]
    result = assign_splits(tracks)
    assert [result.split[str(i)] for i in range(4)] == ["test", "train", "validation", "train"]
    assert result.unit == {"g": "official"}


FMA_TRACKS = """,album,artist,artist,set,set,track,track,track
,title,id,name,split,subset,genre_top,license,title
track_id,,,,,,,,
2,AWOL,1,AWOL,training,small,Hip-Hop,CC BY-NC-SA,Food
5,AWOL,1,AWOL,training,small,Hip-Hop,CC BY-NC-SA,This World
10,Constant,6,,validation,small,Pop,CC BY,"Freeway, again"
140,Arc,54,Nicky Cook,test,medium,Folk,CC BY,Queen of the Wires
99134,X,9,Z,training,small,Rock,CC,Broken
200,Y,10,Q,training,large,,CC,No genre
"""


@pytest.fixture
def fma(tmp_path: Path) -> Path:
    root = tmp_path / "fma"
    meta, audio = root / "fma_metadata", root / "fma_small"
    meta.mkdir(parents=True)
    (meta / "tracks.csv").write_text(FMA_TRACKS)
    (meta / "genres.csv").write_text(
        "genre_id,#tracks,parent,title,top_level\n21,10,0,Hip-Hop,21\n100,5,21,Rap,21\n10,3,0,Pop,10\n"
    )
    (meta / "raw_artists.csv").write_text("artist_id,artist_name,artist_bio\n6,Kurt Vile,\n1,AWOL,\n")
    for number in (2, 5, 10, 140, 99134, 200, 777):
        path = audio / f"{number // 1000:03d}" / f"{number:06d}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(2.0, 44_100, 200 + number % 97), 44_100)
    (audio / "000" / "000140.mp3").write_bytes(b"\0" * 500)
    return root


class TestFma:
    def test_the_tree_is_recognised_and_built(self, fma: Path, tmp_path: Path) -> None:
        assert FmaSource.recognises(fma)
        c = quick(fma, tmp_path / "out")
        assert c.about["layout"] == "fma"
        assert "Defferrard" in c.about["citation"]
        tracks = {int(Path(t.source).stem): t for t in c.tracks}
        assert sorted(tracks) == [2, 5, 10]
        assert (tracks[2].genre, tracks[2].artist, tracks[2].title, tracks[2].split) == (
            "Hip-Hop",
            "AWOL",
            "Food",
            "train",
        )
        assert (tracks[10].artist, tracks[10].split) == ("Kurt Vile", "validation")
        reasons = {int(Path(p.path).stem): p.reason for p in read_problems(c.folder)}
        assert "known-bad" in reasons[99134]
        assert "no top-level genre" in reasons[200]
        assert "not listed" in reasons[777]
        assert 140 in reasons

    def test_untrimmed_tracks_are_not_known_bad(self, fma: Path, tmp_path: Path) -> None:
        (fma / "fma_small").rename(fma / "fma_full")
        assert any(t.source.endswith("099134.mp3") for t in quick(fma, tmp_path / "out").tracks)

    def test_metadata(self, fma: Path) -> None:
        table = read_tracks(fma / "fma_metadata" / "tracks.csv")
        assert table.loc[10, "title"] == "Freeway, again"
        assert list(table["subset"]) == ["small"] * 3 + ["medium", "small", "large"]
        assert read_genres(fma / "fma_metadata" / "genres.csv")[100] == "Hip-Hop"
        assert len(KNOWN_BAD_CLIPS) == 21

    def test_folders_that_are_not_fma_are_refused(self, fma: Path, tmp_path: Path) -> None:
        (fma / "fma_metadata" / "tracks.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
        with pytest.raises(CorpusError, match=r"not FMA's tracks\.csv"):
            quick(fma, tmp_path / "out", layout="fma")
        (fma / "fma_metadata" / "tracks.csv").unlink()
        with pytest.raises(UsageError, match=r"no tracks\.csv"):
            quick(fma, tmp_path / "out", layout="fma")


class TestSynthetic:
    def test_the_same_seed_gives_the_same_songs(self, corpus: Corpus, tmp_path: Path) -> None:
        again = build_synthetic(tmp_path / "again", minutes=1.0, sample_rate=RATE, workers=1)
        assert [t.content for t in again.tracks] == [t.content for t in corpus.tracks]
        other = build_synthetic(tmp_path / "other", minutes=1.0, sample_rate=RATE, seed=1, workers=1)
        assert not {t.content for t in other.tracks} & {t.content for t in corpus.tracks}

    def test_genres_splits_and_licence(self, corpus: Corpus) -> None:
        assert corpus.genres == sorted(STYLES)
        assert len(corpus.genres) >= 4
        for genre in corpus.genres:
            assert {t.split for t in corpus.tracks if t.genre == genre} == {"train", "validation", "test"}
        assert "CC0" in corpus.about["licence"]
        assert not read_problems(corpus.folder)

    @pytest.mark.parametrize("style", STYLES)
    def test_songs_are_valid_at_any_length(self, style: str) -> None:
        short = np.concatenate(list(render(style, 5, 3.0, RATE)))
        long = np.concatenate(list(render(style, 5, 9.0, RATE)))
        assert (len(short), len(long)) == (3 * RATE, 9 * RATE)
        assert np.array_equal(short[:RATE], long[:RATE])
        assert np.abs(long).max() < 1
        assert long.std() > 0.02

    def test_a_classifier_distinguishes_the_genres(self) -> None:
        """A linear classifier of MFCCs, trained on some songs, recognises the genre of all others."""
        import librosa
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def features(style: str, seed: int) -> np.ndarray:
            x = np.concatenate(list(render(style, seed, 8.0, RATE)))
            mfcc = librosa.feature.mfcc(y=x, sr=RATE, n_mfcc=12, n_mels=40, fmax=RATE / 2)
            onsets = librosa.onset.onset_strength(y=x, sr=RATE, fmax=RATE / 2, n_mels=40)
            return np.concatenate([mfcc.mean(1), mfcc.std(1), [onsets.mean(), onsets.std()]])

        data = {(s, i): features(s, 100 + i) for s in STYLES for i in range(8)}
        train = [k for k in data if k[1] < 5]
        test = [k for k in data if k[1] >= 5]
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        classifier.fit([data[k] for k in train], [k[0] for k in train])
        assert classifier.score([data[k] for k in test], [k[0] for k in test]) == 1.0

    @pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
    def test_invalid_lengths_are_refused(self, minutes: float, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="minutes"):
            build_synthetic(tmp_path / "x", minutes=minutes)


def test_problems_csv_is_valid_csv(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    save(tmp_path / "src" / "a.wav")
    (tmp_path / "src" / 'b,"x".mp3').touch()
    c = quick(tmp_path / "src", tmp_path / "out")
    with (c.folder / "problems.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert rows == [
        {"path": 'b,"x".mp3', "reason": "the file is empty; copy or download it again", "action": "skipped"}
    ]
