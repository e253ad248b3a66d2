"""Properties of splits, and long recordings cut into pieces."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, tone
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noizenet.corpus.build import build, read_problems
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.cut import GAP_S, cut
from noizenet.corpus.split import HELD_OUT_SHARE, SPLITS, Assignment, Unit, assign_splits

units = st.builds(
    Unit,
    key=st.uuids().map(str),
    genre=st.sampled_from(["a", "b", "c"]),
    artist=st.sampled_from(["", "", "x", "y", "z", "w"]),
    seconds=st.floats(1, 1000),
    split=st.just(""),
    recording=st.sampled_from(["", "", "", "", "1", "2", "3"]),
)
several = st.lists(units, min_size=1, max_size=40, unique_by=lambda u: u.key)
prescribed = st.lists(
    st.tuples(units, st.sampled_from(["", "", *SPLITS])).map(lambda p: Unit(**{**vars(p[0]), "split": p[1]})),
    min_size=1,
    max_size=30,
    unique_by=lambda u: u.key,
)


def splits_by_group(tracks: list[Unit], result: Assignment) -> dict[tuple[str, str], set[str]]:
    """Return the splits of each recording, and of each artist where genres are split by artist."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for t in tracks:
        if t.recording:
            found["recording", t.recording].add(result.split[t.key])
        if t.artist and result.unit[t.genre] == "artist":
            found["artist", t.artist].add(result.split[t.key])
    return found


@settings(max_examples=300, deadline=None)
@given(tracks=several, seed=st.integers(0, 5), order=st.randoms())
def test_copies_and_artists_share_a_split(tracks: list[Unit], seed: int, order: object) -> None:
    result = assign_splits(tracks, seed)
    assert set(result.split) == {t.key for t in tracks}
    assert set(result.split.values()) <= set(SPLITS)
    assert all(len(splits) == 1 for splits in splits_by_group(tracks, result).values())
    for genre in {t.genre for t in tracks}:
        assert any(result.split[t.key] == "train" for t in tracks if t.genre == genre), "nothing to train on"
    shuffled = list(tracks)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert assign_splits(shuffled, seed) == result


@settings(max_examples=200, deadline=None)
@given(tracks=prescribed, seed=st.integers(0, 3))
def test_prescribed_splits_are_kept_and_followed(tracks: list[Unit], seed: int) -> None:
    result = assign_splits(tracks, seed)
    for t in tracks:
        if t.split:
            assert result.split[t.key] == t.split
    official: dict[str, set[str]] = defaultdict(set)
    for t in tracks:
        if t.recording and t.split:
            official[t.recording].add(t.split)
    for t in tracks:
        others_agree = len(official[t.recording]) == 1 and t.recording and not t.artist
        alone = all(not o.artist for o in tracks if o.recording == t.recording)
        if others_agree and alone and not t.split:
            assert {result.split[t.key]} == official[t.recording]


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.floats(100, 300), min_size=30, max_size=80), seed=st.integers(0, 9))
def test_validation_and_test_each_get_a_tenth(lengths: list[float], seed: int) -> None:
    tracks = [Unit(f"{i:03d}", "g", "", s, "", str(i // 2) if i % 5 < 2 else "") for i, s in enumerate(lengths)]
    split = assign_splits(tracks, seed).split
    for which in ("validation", "test"):
        share = sum(t.seconds for t in tracks if split[t.key] == which) / sum(lengths)
        assert HELD_OUT_SHARE <= share < HELD_OUT_SHARE + 2 * 300 / sum(lengths)


@pytest.mark.parametrize(
    ("recordings", "expected"),
    [
        (["", ], ["train"]),
        (["", ""], ["train", "validation"]),
        (["", "", ""], ["test", "train", "validation"]),
        (["1", "1"], ["train", "train"]),
        (["1", "1", ""], ["train", "train", "validation"]),
        (["1", "1", "1", "2", "2", ""], None),
    ],
)  # fmt: skip
def test_few_tracks(recordings: list[str], expected: list[str] | None) -> None:
    tracks = [Unit(str(i), "g", "", 10.0, "", r) for i, r in enumerate(recordings)]
    split = assign_splits(tracks).split
    if expected is None:
        assert set(split.values()) == set(SPLITS)
    else:
        assert sorted(split.values()) == expected


def test_tracks_are_the_unit_if_copies_join_all_artists() -> None:
    """Copies join all three artists into one group, of which nothing could be held out, so tracks are the unit."""
    tracks = [Unit(f"{a}{i}", "g", a, 10.0, "", "") for a in "xyz" for i in range(4)]
    tracks += [Unit("x9", "g", "x", 10.0, "", "1"), Unit("y9", "g", "y", 10.0, "", "1")]
    tracks += [Unit("y8", "g", "y", 10.0, "", "2"), Unit("z8", "g", "z", 10.0, "", "2")]
    result = assign_splits(tracks)
    assert result.unit == {"g": "track"}
    assert set(result.split.values()) == set(SPLITS)
    assert result.split["x9"] == result.split["y9"]
    assert result.split["y8"] == result.split["z8"]


def test_many_tracks_are_split_quickly() -> None:
    """The run time is about linear: a quadratic loop would take hours."""
    tracks = [Unit(str(i), f"g{i % 50}", f"a{i // 7}", 30.0, "", str(i // 2)) for i in range(30_000)]
    split = assign_splits(tracks).split
    held = [sum(v == which for v in split.values()) / len(tracks) for which in SPLITS]
    assert held == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


class TestCut:
    def long(self, path: Path, seconds: float, rests: list[float]) -> Path:
        x = tone(seconds)
        for at in rests:
            x[round(at * RATE) : round((at + 0.4) * RATE)] = 0
        soundfile.write(path, x, RATE)
        return path

    def test_pieces_are_ordered_separated_and_cut_at_quiet_positions(self, tmp_path: Path) -> None:
        rests = [29.0, 61.5, 88.8, 121.0, 149.0, 181.2, 209.0, 241.0, 271.0]  # near the tenths of five minutes
        pieces = cut(self.long(tmp_path / "a.wav", 300, rests))
        assert [p.split for p in pieces] == ["train"] * 8 + ["validation", "test"]
        ends = [(p.start / RATE, (p.start + p.frames) / RATE) for p in pieces]
        for (_, end), (start, _), one, other in zip(ends, ends[1:], pieces, pieces[1:], strict=False):
            gap = start - end
            assert gap == pytest.approx(0 if one.split == other.split else GAP_S, abs=1e-3)
        for (_, end), rest in zip(ends, rests, strict=False):
            assert rest <= end <= rest + 0.4
        assert ends[0][0] == 0
        assert ends[-1][1] == 300
        x, _ = soundfile.read(tmp_path / "a.wav")
        for p in pieces:
            part = x[p.start : p.start + p.frames]
            assert p.peak == pytest.approx(np.abs(part).max(), abs=1e-4)
            assert p.rms == pytest.approx(part.std(), rel=1e-3)

    @settings(max_examples=15, deadline=None)
    @given(seconds=st.floats(180, 5000), channels=st.sampled_from([1, 2]))
    def test_recordings_of_any_length(
        self, seconds: float, channels: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        rate = 1000
        path = tmp_path_factory.mktemp("cut") / "a.wav"
        noise = np.random.default_rng(round(seconds)).uniform(-0.5, 0.5, (round(seconds * rate), channels))
        soundfile.write(path, noise, rate)
        pieces = cut(path)
        assume(pieces)
        of = {s: [p for p in pieces if p.split == s] for s in SPLITS}
        assert [p.split for p in pieces] == [s for s in SPLITS for _ in of[s]]
        covered = sum(p.frames for p in pieces)
        assert covered == len(noise) - 2 * GAP_S * rate
        assert max(p.frames for p in pieces) <= 330 * rate
        for which in ("validation", "test"):
            share = sum(p.frames for p in of[which]) / len(noise)
            assert 0.05 < share < 0.15

    def test_silence_is_left_out(self, tmp_path: Path) -> None:
        x = tone(400)
        x[: 200 * RATE] = 0
        soundfile.write(tmp_path / "a.wav", x, RATE)
        pieces = cut(tmp_path / "a.wav", silent=1e-3)
        assert {p.split for p in pieces} == set(SPLITS)
        assert min(p.start for p in pieces) >= 190 * RATE
        x[:] = 0
        soundfile.write(tmp_path / "b.wav", x, RATE)
        assert cut(tmp_path / "b.wav", silent=1e-3) == []


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long") / "set"
    folder.mkdir()
    t = np.arange(240 * RATE) / RATE
    x = tone(240, hz=150) * np.sin(2 * np.pi * t / 240) + 0.1 * np.sin(2 * np.pi * (100 + t) * t)
    soundfile.write(folder / "a mix.wav", x, RATE)
    return folder


class TestOneLongRecording:
    def test_it_is_cut_reported_and_read_in_pieces(self, source: Path, tmp_path: Path) -> None:
        corpus = build(source, tmp_path / "c", sample_rate=RATE, workers=1)
        assert {s: len(corpus.split(s)) for s in SPLITS} == {"train": 8, "validation": 1, "test": 1}
        assert corpus.about["split_by"] == {"set": "piece"}
        [problem] = read_problems(corpus.folder)
        assert (problem.path, problem.action) == ("a mix.wav", "cut")
        assert "cut into 10 pieces" in problem.reason
        assert len({t.id for t in corpus.tracks}) == len({t.key for t in corpus.tracks}) == 10
        assert {t.source for t in corpus.tracks} == {"a mix.wav"}
        whole, _ = soundfile.read(corpus.audio_path(corpus.tracks[0]), dtype="int16")
        for t in corpus.tracks:
            expected = whole[t.start : t.start + t.frames]
            assert np.array_equal(corpus.read(t)[:, 0], expected)
            assert np.array_equal(corpus.read(t, 100, 50)[:, 0], expected[100:150])
            assert np.array_equal(corpus.read(t, t.frames - 7, 50)[:, 0], expected[-7:])
            assert corpus.read(t, t.frames + 7, 50).shape == (0, 1)
        again = Corpus(corpus.folder)
        assert again.tracks == corpus.tracks
        corpus.close()

    @pytest.mark.slow
    def test_it_can_be_trained_on(self, source: Path, tmp_path: Path) -> None:
        from conftest import quick_train

        corpus = build(source, tmp_path / "c", sample_rate=RATE, workers=1)
        quick_train(corpus, tmp_path / "m", "sample-lstm", epochs=0.01)
        assert list((tmp_path / "m").glob("*.safetensors"))

    def test_it_is_not_cut_if_there_are_others(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "src").mkdir()
        (tmp_path / "src" / "long.wav").symlink_to(source / "a mix.wav")
        for i in range(3):
            soundfile.write(tmp_path / "src" / f"{i}.wav", tone(5, hz=180 + 37 * i), RATE)
        corpus = build(tmp_path / "src", tmp_path / "c", sample_rate=RATE, workers=1)
        assert len(corpus.tracks) == 4
        assert not read_problems(corpus.folder)

    def test_only_one_of_its_copies_is_cut(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "src").mkdir()
        (tmp_path / "src" / "long.wav").symlink_to(source / "a mix.wav")
        x, _ = soundfile.read(source / "a mix.wav")
        soundfile.write(tmp_path / "src" / "shorter.flac", x[3 * RATE :] * 0.5, RATE)
        corpus = build(tmp_path / "src", tmp_path / "c", sample_rate=RATE, workers=1)
        assert {t.source for t in corpus.tracks} == {"long.wav"}
        assert {(p.path, p.action) for p in read_problems(corpus.folder)} == {
            ("long.wav", "cut"),
            ("shorter.flac", "skipped"),
        }

    def test_a_short_recording_is_not_cut(self, tmp_path: Path) -> None:
        (tmp_path / "src").mkdir()
        soundfile.write(tmp_path / "src" / "a.wav", tone(100), RATE)
        assert [t.split for t in build(tmp_path / "src", tmp_path / "c", workers=1).tracks] == ["train"]
