"""Properties that hold for every file name, genre, split and duration."""

from __future__ import annotations

import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from noizenet.audio.read import AudioReader, converted_blocks, read
from noizenet.base.errors import UsageError
from noizenet.corpus.build import build, read_problems
from noizenet.corpus.split import SPLITS, Unit, assign_splits
from noizenet.studio.names import DEVICES, check_name, path_inside
from robustness import sounds


# Derandomized: every run tests the same examples.
def fixed(examples: int) -> settings:
    return settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


LOSSLESS = [f for f in sounds.FORMATS.values() if f.lossless]
LOSSY = [f for f in sounds.FORMATS.values() if not f.lossless and 44_100 in f.rates]


@fixed(60)
@given(kind=st.sampled_from(LOSSLESS), frames=st.integers(300, 20_000), data=st.data())
def test_a_lossless_file_is_read_with_the_same_frames(kind: sounds.Format, frames: int, data: st.DataObject) -> None:
    rate = data.draw(st.sampled_from(kind.rates))
    channels = data.draw(st.sampled_from([c for c in kind.channels if c <= 2]))
    samples = sounds.music(frames / rate, rate, channels, frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{kind.suffix}"
        sounds.write(path, kind, samples, rate)
        found = read(path)
    assert (found.sample_rate, found.samples.shape[0], found.channels) == (rate, len(samples), channels)
    assert np.abs(found.samples.reshape(-1, channels) - samples).max() < 1e-3


@fixed(40)
@given(kind=st.sampled_from(LOSSY), frames=st.integers(8_000, 60_000))
def test_a_lossy_file_keeps_its_length_within_a_codec_frame(kind: sounds.Format, frames: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{kind.suffix}"
        sounds.write(path, kind, sounds.music(frames / 44_100, 44_100, 2, frames), 44_100)
        with AudioReader(path) as reader:
            found = sum(len(b) for b in reader.blocks())
            assert not [i for i in reader.issues if i.kind == "lost"], "an intact file loses nothing"
    assert abs(found - frames) <= 4_096


@fixed(30)
@given(frames=st.integers(2_000, 30_000), rate=st.sampled_from((8_000, 22_050, 44_100, 48_000)), other=st.integers(8_000, 48_000),
       block=st.floats(0.01, 1.0))  # fmt: skip
def test_resampling_keeps_the_duration(frames: int, rate: int, other: int, block: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.wav"
        sounds.write(path, sounds.FORMATS["wav-16"], sounds.music(frames / rate, rate, 2), rate)
        with AudioReader(path) as reader:
            found = sum(len(b) for b in converted_blocks(reader, other, 1, block))
    assert abs(found - frames * other / rate) <= 2


folder_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=24
).filter(lambda n: n not in (".", "..") and len(n.encode()) < 200)


@fixed(20)
@example(names=["a/b".replace("/", "∕"), "R&B, soul > funk: 50%", " x ", ".hidden", "e\u0301", "é", "<b>", "-"])
@given(names=st.lists(folder_names, min_size=1, max_size=5, unique=True))
def test_every_folder_is_a_genre_or_a_reported_problem(names: list[str]) -> None:
    """For any folder names, each recording is a track or has a line in problems.csv."""
    assume(len({unicodedata.normalize("NFC", n) for n in names}) == len(names) or "é" in names)
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in", Path(folder) / "out"
        for k, name in enumerate(names):
            (source / name).mkdir(parents=True, exist_ok=True)
            rate = 8_000
            sounds.write(source / name / f"{k}.wav", sounds.FORMATS["wav-16"], sounds.music(1.2, rate, 1, k), rate)
        try:
            corpus = build(source, out, sample_rate=8_000, workers=1)
        except UsageError as error:  # only hidden folders, for instance
            assert str(source) in str(error)
            return
        with corpus:
            assert len(corpus.tracks) + len([p for p in read_problems(out) if p.action != "kept in part"]) >= len(names)
            assert len({t.id for t in corpus.tracks}) == len(corpus.tracks)
            assert {t.genre for t in corpus.tracks} == set(corpus.genres)
            for track in corpus.tracks:
                assert len(corpus.read(track)) == track.frames == round(1.2 * 8_000)


units = st.builds(
    Unit,
    key=st.text(min_size=1, max_size=8),
    genre=st.sampled_from(("a", "b", "c, d")),
    artist=st.sampled_from(("", "x", "y", "z", "w", "X", "x ")),
    seconds=st.floats(1, 600),
)


@fixed(60)
@given(
    tracks=st.lists(units, min_size=1, max_size=40, unique_by=lambda u: u.key), seed=st.integers(0, 3), data=st.data()
)
def test_splits(tracks: list[Unit], seed: int, data: st.DataObject) -> None:
    found = assign_splits(tracks, seed)
    assert set(found.split) == {t.key for t in tracks}
    assert set(found.split.values()) <= set(SPLITS)
    assert assign_splits(data.draw(st.permutations(tracks)), seed).split == found.split, "the order does not matter"
    by_artist: dict[tuple[str, str], set[str]] = {}
    for t in tracks:
        if t.artist and found.unit[t.genre] == "artist":
            by_artist.setdefault((t.genre, t.artist), set()).add(found.split[t.key])
    assert all(len(sides) == 1 for sides in by_artist.values()), "all tracks of an artist are in one split"
    for genre in {t.genre for t in tracks}:
        assert any(found.split[t.key] == "train" for t in tracks if t.genre == genre) or len(tracks) > 1


@fixed(150)
@given(
    parts=st.lists(
        st.one_of(st.text(max_size=90), st.sampled_from(("..", ".", "", "a/b", "a\\b", "x" * 300, "\0"))),
        min_size=1,
        max_size=3,
    )
)
def test_no_name_leads_out_of_the_studios_folder(parts: list[str]) -> None:
    root = Path("/nowhere/data")
    try:
        path = path_inside(root, *parts)
    except UsageError as error:
        assert "\n" not in str(error).replace("\\n", "")
        return
    assert path.is_relative_to(root)
    assert ".." not in path.parts
    assert len(path.parts) == len(root.parts) + len(parts)


@fixed(100)
@given(name=st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20))
def test_letters_of_every_script_are_allowed_in_names(name: str) -> None:
    composed = unicodedata.normalize("NFC", name)
    if DEVICES.fullmatch(composed):
        with pytest.raises(UsageError):
            check_name(name)
    else:
        assert check_name(name) == composed


def test_combining_marks_are_allowed_in_names() -> None:
    """Scripts that write vowels as combining marks, and letters decomposed by macOS."""
    for name in ("हिन्दी", "ไทย", "e\u0301tude", "তবলা"):
        try:
            check_name(name)
        except UsageError:
            pytest.fail(f"{name!r} is not allowed")
