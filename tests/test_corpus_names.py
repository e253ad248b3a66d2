"""Any file, folder or genre name is read, kept distinct, and written so that every table stays valid."""

from __future__ import annotations

import csv
import json
import os
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.audio.write import AudioWriter
from noizenet.base.errors import UsageError
from noizenet.base.files import make_folder
from noizenet.base.names import escape_name, genre_name, plain_text, unescape_name
from noizenet.corpus.build import build, read_problems
from noizenet.corpus.corpus import Corpus
from noizenet.training.encoded import EncodedTracks

Run = object


def save(path: Path, hz: float, seconds: float = 1.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as handle:  # soundfile cannot open every name
        soundfile.write(handle, tone(seconds, hz=hz), RATE, format=path.suffix[1:].upper())


def quick(source: Path, out: Path) -> Corpus:
    return build(source, out, sample_rate=RATE, workers=1)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=40).filter(lambda b: b"\0" not in b and b"/" not in b))
def test_escaped_names_are_one_line_and_reversible(raw: bytes) -> None:
    name = os.fsdecode(raw)
    text = escape_name(name)
    assert unescape_name(text) == name
    assert text.encode("utf-8").decode("utf-8") == text
    assert len(text.splitlines()) == 1
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1),
    st.sampled_from(["", " ", "\u00a0"]),
)
def test_genre_names_are_normalised(name: str, blank: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    assert genre_name(blank + composed) == genre_name(decomposed + blank)
    assert unescape_name(genre_name(name)) == unicodedata.normalize("NFC", name).strip()


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_tags_are_one_line(text: str) -> None:
    kept = plain_text(text)
    assert len(kept.splitlines()) <= 1
    kept.encode("utf-8")
    assert plain_text(kept) == kept


NAMES = [
    b"latin-\xe9.wav", b"two\nlines.wav", b"tab\there.wav", b'a "quoted", name.wav', b"'=1+2.wav", "🎵🎶.wav".encode(),
    "שיר חדש.wav".encode(), unicodedata.normalize("NFD", "étude.wav").encode(), "歌.wav".encode(), b"...baby.wav",
    b"back\\slash.wav", b"[red]x[/red].wav", b"-o.wav", b" blank .wav", b"x" * 240 + b".wav",
]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="these names cannot be on Windows")
def test_files_with_unusual_names_are_built_and_listed(tmp_path: Path) -> None:
    src = tmp_path / "src"
    for i, name in enumerate(NAMES):
        save(src / os.fsdecode(name), 150 + 20 * i)
    for name in (b"cover-\xe9.jpg", b"._first.mp3", b".secret.wav", b".DS_Store", b"line\nfeed.txt"):
        (src / os.fsdecode(name)).write_bytes(b"x")
    save(src / ".old" / "a.wav", 99)
    c = quick(src, tmp_path / "out")
    assert sorted(os.fsencode(unescape_name(t.source)) for t in c.tracks) == sorted(NAMES)
    assert len({t.id for t in c.tracks}) == len(NAMES)
    reported = {p.path: p for p in read_problems(c.folder)}
    assert set(reported) == {"cover-\\xe9.jpg", "._first.mp3", ".secret.wav", "line\\nfeed.txt", ".old"}
    assert {p.action for p in reported.values()} == {"ignored"}
    assert "resource fork" in reported["._first.mp3"].reason
    assert "hidden folder" in reported[".old"].reason
    for table, rows in (("tracks.csv", len(NAMES)), ("problems.csv", 5)):
        text = (c.folder / table).read_bytes().decode("utf-8")
        assert len(text.splitlines()) == rows + 1
        assert len(list(csv.reader(text.splitlines()))) == rows + 1


@pytest.mark.skipif(os.name == "nt", reason="these names cannot be on Windows")
def test_source_and_corpus_folders_with_unusual_names(tmp_path: Path, cli: object) -> None:
    src = tmp_path / os.fsdecode(b"mus\xedk\n[b]")
    save(src / "a.wav", 200)
    out = tmp_path / os.fsdecode(b"c\xf6rpus")
    code, _, err = cli("corpus", "build", src, out, "--sample-rate", RATE, "--workers", 1)  # type: ignore[operator]
    assert code == 0, err
    assert Corpus(out).genres == ["mus\\xedk\\n[b]"]
    code, text, _ = cli("corpus", "show", out, "--json")  # type: ignore[operator]
    assert code == 0
    assert json.loads(text)["tracks"] == 1


def test_genre_folders(tmp_path: Path) -> None:
    src = tmp_path / "src"
    folders = [
        unicodedata.normalize("NFC", "Música"), unicodedata.normalize("NFD", "Música"), "Pop, 60s", "R&B: soul > funk", "Jazz ",
        "Jazz", "フォーク", "...And You", "   ",
    ]  # fmt: skip
    for i, folder in enumerate(folders):
        save(src / folder / f"{i}.wav", 150 + 20 * i)
    c = quick(src, tmp_path / "out")
    genre = {int(Path(t.source).stem): t.genre for t in c.tracks}
    assert genre == {
        0: "Música", 1: "Música", 2: "Pop, 60s", 3: "R&B: soul > funk", 4: "Jazz", 5: "Jazz", 6: "フォーク", 7: "...And You",
        8: "src",
    }  # fmt: skip
    assert c.genres == sorted(set(genre.values()))
    reported = {p.path: p.reason for p in read_problems(c.folder) if p.action == "repaired"}
    assert set(reported) == {folders[0], folders[1], "Jazz ", "Jazz", "   "}
    assert "spaces at both ends of the name are removed" in reported.pop("   ")
    assert all("with the folder" in reason for reason in reported.values())


class Steps:
    """A representation whose frames are sums of 100 samples."""

    cache_key, dim, levels, sample_rate = "steps", 1, 256, RATE

    def samples_for(self, frames: int) -> int:
        return 100 * frames

    def samples_of(self, waveform: object) -> np.ndarray:
        return waveform.samples[:, None]  # type: ignore[attr-defined]

    def as_waveform(self, samples: np.ndarray) -> np.ndarray:
        return samples

    def encode(self, samples: np.ndarray) -> np.ndarray:
        whole = samples[: len(samples) // 100 * 100].reshape(-1, 100)
        return np.clip(128 + 4 * whole.sum(1), 0, 255).astype(np.int16)[:, None]


def test_files_with_the_same_stem_are_separate_recordings(tmp_path: Path) -> None:
    for i, name in enumerate(("take.wav", "take.flac", "take.ogg", "b/take.wav")):
        save(tmp_path / "src" / "g" / name, 200 + 50 * i, seconds=2.0)
    c = quick(tmp_path / "src", tmp_path / "out")
    assert len({t.id for t in c.tracks}) == 4
    assert all(t.id in t.audio for t in c.tracks)
    for _ in range(2):  # encoded, then read from the cache
        encoded = EncodedTracks(c, Steps())  # type: ignore[arg-type]
        for track in c.tracks:
            expected = Steps().encode(c.samples(track))
            assert np.array_equal(encoded.frames(track), expected)
    frames = [encoded.frames(t).tobytes() for t in c.tracks]
    assert len(set(frames)) == 4


def test_cached_frames_depend_on_the_audio(tmp_path: Path) -> None:
    """A recording that is prepared again with other channels is also encoded again."""
    sound = np.stack([tone(2.0, hz=200), 0.5 * tone(2.0, hz=300)], 1)
    (tmp_path / "src").mkdir()
    soundfile.write(tmp_path / "src" / "a.wav", sound, RATE)
    frames = []
    for channels in (1, 2):
        c = build(tmp_path / "src", tmp_path / "out", sample_rate=RATE, channels=channels, workers=1)
        encoded = EncodedTracks(c, Steps())  # type: ignore[arg-type]
        encoded._r.samples_of = lambda w: w.samples.reshape(len(w), -1)[:, :1]  # type: ignore[attr-defined, method-assign]
        frames.append(encoded.frames(c.tracks[0]))
    assert not np.array_equal(*frames)


def test_pieces_of_a_recording_have_unique_names_and_keys(tmp_path: Path) -> None:
    save(tmp_path / "src" / "a.wav", 200)
    track = quick(tmp_path / "src", tmp_path / "out").tracks[0]
    pieces = [track, *(replace(track, start=start) for start in (500, 900))]
    for property_name in ("name", "key"):
        assert len({getattr(p, property_name) for p in pieces}) == 3
    assert track.name == "a.wav"


def test_a_corpus_of_the_first_format_opens(tmp_path: Path) -> None:
    for name in ("take.wav", "take.flac"):
        save(tmp_path / "src" / name, 200 + len(name))
    c = quick(tmp_path / "src", tmp_path / "out")
    about = json.loads((c.folder / "corpus.json").read_text())
    (c.folder / "corpus.json").write_text(json.dumps({**about, "format": 1}))
    with (c.folder / "tracks.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    with (c.folder / "tracks.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys())
        writer.writeheader()
        writer.writerows({**r, "id": "take"} for r in rows)
    old = Corpus(c.folder)
    assert [t.id for t in old.tracks] == [t.content for t in old.tracks]
    assert len({t.id for t in old.tracks}) == 2


def test_prepared_audio_of_an_earlier_version_is_replaced(tmp_path: Path) -> None:
    save(tmp_path / "src" / "a.wav", 200)
    c = quick(tmp_path / "src", tmp_path / "out")
    track = c.tracks[0]
    for suffix in (".wav", ".json"):
        new = c.audio_path(track).with_suffix(suffix)
        shutil.copy(new, new.with_name(f"{track.content}-{RATE}-1{suffix}"))
    assert len(quick(tmp_path / "src", tmp_path / "out").tracks) == 1
    assert sorted(p.suffix for p in (c.folder / "audio").iterdir()) == [".json", ".npy", ".wav"]


def test_a_path_too_long_for_the_libraries_is_refused(tmp_path: Path) -> None:
    soundfile.write(make_folder(tmp_path / "src") / "a.wav", tone(1.5), RATE)
    deep = tmp_path
    for _ in range(5):
        deep = deep / ("d" * 240)
    deep.mkdir(parents=True)
    with pytest.raises(UsageError, match="path is longer than the 1000 bytes"), AudioWriter(deep / "x.wav", RATE):
        pass
    with pytest.raises(UsageError, match="path is longer"):
        build(tmp_path / "src", deep / "c", sample_rate=RATE, workers=1)
    assert not any(p.suffix == ".wav" for p in deep.rglob("*"))
