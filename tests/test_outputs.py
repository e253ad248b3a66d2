"""Outputs never replace an input, a device or a folder of other files; JSON is strict."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noizenet
from noizenet.base.errors import UsageError
from noizenet.base.files import atomic_path, check_outputs, check_own_folder, write_json
from noizenet.base.plain import plain, to_json
from noizenet.cli.main import main
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.synth.styles import STYLES


def test_an_input_is_recognised_under_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(b"RIFF")
    (tmp_path / "sub").mkdir()
    os.link(song, tmp_path / "hard.wav")
    (tmp_path / "soft.wav").symlink_to(song)
    (tmp_path / "round").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = ["song.wav", "./song.wav", "sub/../song.wav", "hard.wav", "soft.wav", "round/song.wav", str(song)]
    for name in names:
        with pytest.raises(UsageError, match="would be overwritten"):
            check_outputs([name], [song])
        with pytest.raises(UsageError, match="would be overwritten"):
            check_outputs(["other.wav", name], [None, "absent.wav", song])
    check_outputs(["new.wav", "sub/song.wav"], [song])
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "absent.wav")
    check_outputs(["dangling.wav"], [song])


def test_two_outputs_with_the_same_name_raise_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        check_outputs([tmp_path / "a.wav", tmp_path / "x" / ".." / "a.wav"], [])


@pytest.mark.parametrize("kind", ["fifo", "device", "link to device", "folder"])
def test_only_regular_files_are_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/null")
    elif kind == "link to device":
        path.symlink_to("/dev/null")
    else:
        path.mkdir()
    before = path.lstat().st_mode
    if kind != "folder":  # an output may be a folder
        with pytest.raises(UsageError):
            check_outputs([path], [])
    with pytest.raises(UsageError), atomic_path(path):
        pytest.fail("nothing may be written")
    if path.suffix:
        with pytest.raises(UsageError):
            noizenet.write(path, noizenet.Waveform(np.zeros(100, np.float32), 8000))
    assert path.lstat().st_mode == before
    assert len(list(tmp_path.iterdir())) == (kind != "device")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    generator = np.random.default_rng(1)
    noizenet.write(path, noizenet.Waveform(generator.uniform(-0.5, 0.5, 16000).astype(np.float32), 16000))
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "token-lstm", "song.wav", "--seconds", "1", "--seed-audio", "song.wav"],
        ["generate", "token-lstm", "song.wav", "--seconds", "1", "--seed-audio", "link.wav"],
        ["generate", "token-lstm", "song.wav", "--seconds", "1", "--count", "2", "--seed-audio", "song-1.wav"],
        ["reproduce", "token-lstm", "song.wav", "song.wav"],
        ["reproduce", "token-lstm", "song-persistence.wav", "song.wav"],
        ["view", "song.png", "song.png"],
        ["view", "song.wav", "song.png", "--compare", "song.png"],
    ],
    ids=lambda a: " ".join(a[:1] + a[2:]),
)
def test_commands_fail_before_anything_is_written(
    arguments: list[str], song: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(song.parent)
    Path("link.wav").symlink_to(song)
    for name in ("song.png", "song-1.wav", "song-persistence.wav"):
        Path(name).write_bytes(song.read_bytes())
    before = {p.name: p.read_bytes() for p in song.parent.iterdir()}
    assert main(arguments) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in song.parent.iterdir()} == before


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(values)
def test_json_is_strict_and_keeps_all_values(value: object) -> None:
    def nulled(x: object) -> object:
        if isinstance(x, float):
            return x if math.isfinite(x) else None
        if isinstance(x, dict):
            return {k: nulled(v) for k, v in x.items()}
        return [nulled(v) for v in x] if isinstance(x, list) else x

    def forbidden(name: str) -> object:
        raise AssertionError(name)

    assert json.loads(to_json(value), parse_constant=forbidden) == nulled(value)


def test_json_of_numpy_numbers_undecodable_names_and_paths(tmp_path: Path) -> None:
    found = plain(
        {
            "a": np.float32("nan"), "b": np.float64("inf"), "c": np.int16(3), "d": np.array([[1.0, np.nan]]),
            "e": np.bool_(True), "f": Path("x"), "g": np.str_("t"), "h": {2, 1},
        }
    )  # fmt: skip
    assert found == {"a": None, "b": None, "c": 3, "d": [[1.0, None]], "e": True, "f": "x", "g": "t", "h": [1, 2]}
    assert json.loads(to_json({"name": "caf\udce9"}))["name"] == "caf\udce9"
    write_json(tmp_path / "x.json", {"loss": float("-inf")})
    assert json.loads((tmp_path / "x.json").read_text()) == {"loss": None}
    with pytest.raises(TypeError):
        plain(object())


class TestForeignFolders:
    """Nothing is written into a folder with files that noizenet did not write."""

    @pytest.fixture
    def full(self, tmp_path: Path) -> Path:
        """A folder of other files, some with names that noizenet writes too."""
        for name in (
            "thesis.txt",
            "README.md",
            "card.md",
            "audio/song.wav",
            "source/jazz/mine.flac",
            "streams/0.flac",
            "incoming/0.flac",
        ):
            (tmp_path / "full" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "full" / name).write_text("mine")
        return tmp_path / "full"

    COMMANDS = (
        "train CORPUS FULL --epochs 1", "train CORPUS FULL --epochs 1 --resume", "corpus build SONGS FULL",
        "corpus demo FULL --minutes 0.1", "corpus fetch fma-small FULL", "evaluate MODEL CORPUS FULL --streams 1",
        "evaluate --audio SONGS CORPUS FULL", "export TOKENS FULL", "figures FULL",
        "studio --data FULL --port 0",
    )  # fmt: skip

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_command_fails_with_one_line(
        self, command: str, full: Path, song: Path, corpus: Corpus, sample_model: Path, token_model: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        if command.startswith("export"):
            pytest.importorskip("onnxscript", reason="without it the export fails earlier")
        before = {p: p.stat().st_mtime_ns for p in full.rglob("*")}
        (full.parent / "songs").mkdir()
        song.rename(full.parent / "songs" / song.name)
        paths = {"FULL": full, "CORPUS": corpus.folder, "SONGS": full.parent / "songs", "MODEL": sample_model,
                 "TOKENS": token_model}  # fmt: skip
        assert main([str(paths.get(word, word)) for word in command.split()]) == 2
        error = capsys.readouterr().err
        assert "contains other files (for instance " in error.replace("\n", " ")
        assert "choose a new or an empty folder" in error.replace("\n", " ")
        assert {p: p.stat().st_mtime_ns for p in full.rglob("*")} == before

    def test_its_own_folder_is_accepted(self, tmp_path: Path) -> None:
        def check() -> None:
            check_own_folder(tmp_path / "own", "thing", ["thing.json"], ["part.bin"])

        check()  # does not exist yet
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / ".DS_Store").touch()
        check()
        (tmp_path / "own" / "part.bin").touch()  # of an interrupted run
        check()
        (tmp_path / "own" / "notes.txt").touch()
        with pytest.raises(UsageError, match=r"for instance notes\.txt\) and no thing of noizenet's"):
            check()
        (tmp_path / "own" / "thing.json").touch()
        check()

    def test_the_demo_removes_only_its_own_songs(self, tmp_path: Path) -> None:
        style = next(iter(STYLES))
        others = [
            tmp_path / "c" / "source" / name for name in (f"{style}/mine.flac", f"{style}-000-seed9-1.000s-8000.flac")
        ]
        for path in others:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")
        noizenet.demo_corpus(tmp_path / "c", minutes=0.1, sample_rate=8000, workers=1)
        assert [p.read_text() for p in others] == ["mine", "mine"]
