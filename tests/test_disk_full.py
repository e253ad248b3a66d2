"""A full disk: one clear line, exit code 1, no partial file, complete files are kept."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile
from conftest import PLAIN, QUICK, RATE, is_root, tone

from noizenet.base.errors import DiskFullError
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.fetch import unpack

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 300 kB."""
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if not is_root() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def fill(folder: Path, leave: int) -> None:
    import shutil

    (folder / "ballast").write_bytes(b"\0" * (shutil.disk_usage(folder).free - leave))


def check(result: tuple[int, str, str]) -> None:
    code, _, err = result
    assert code == 1, err
    assert "the disk is full" in err
    assert len([x for x in err.splitlines() if x.startswith("noizenet:")]) == 1


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_generating(small_disk: Path, cli: Run, sample_model: Path, suffix: str) -> None:
    fill(small_disk, 40_000)
    check(cli("generate", sample_model, small_disk / f"a.{suffix}", "--seconds", 60 if suffix == "ogg" else 10))
    assert files(small_disk) == ["ballast"]


def test_complete_recordings_are_kept(small_disk: Path, cli: Run, sample_model: Path) -> None:
    seconds = 5
    fill(small_disk, round(2.5 * seconds * 2 * RATE))
    result = cli("generate", sample_model, small_disk / "a.wav", "--seconds", seconds, "--count", 4)
    check(result)
    kept = [f for f in files(small_disk) if f != "ballast"]
    assert len(kept) == 2
    assert all(soundfile.info(small_disk / f).frames == seconds * RATE for f in kept)
    assert f"2 of 4 pieces are finished and kept: {', '.join(kept)}" in result[2]


def test_a_read_only_file_system_is_reported_with_a_remedy(small_disk: Path, cli: Run, sample_model: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, _, err = cli("generate", sample_model, small_disk / "a.wav", "--seconds", 0.1)
    assert code == 1
    assert err == f"noizenet: {small_disk / 'a.wav'}: this file system is read-only; choose another folder\n"


def test_building(small_disk: Path, cli: Run, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for i in range(8):
        soundfile.write(tmp_path / "src" / f"{i}.flac", tone(5.0, hz=200 + i), RATE)
    check(cli("corpus", "build", tmp_path / "src", small_disk / "c", "--sample-rate", RATE, "--workers", 1))
    good = [f for f in files(small_disk) if f.endswith(".wav")]
    assert 0 < len(good) < 8
    assert not [f for f in files(small_disk) if ".part" in f]


def test_building_with_workers(small_disk: Path, cli: Run, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for i in range(8):
        soundfile.write(tmp_path / "src" / f"{i}.flac", tone(5.0, hz=200 + i), RATE)
    check(cli("corpus", "build", tmp_path / "src", small_disk / "c", "--sample-rate", RATE, "--workers", 2))
    assert not (small_disk / "c" / "tracks.csv").exists()
    kept = {p: p.stat().st_mtime_ns for p in small_disk.rglob("*.wav")}
    subprocess.run(["mount", "-o", "remount,size=2M", str(small_disk)], check=True)
    code, _, err = cli("corpus", "build", tmp_path / "src", small_disk / "c", "--sample-rate", RATE, "--workers", 1)
    assert code == 0, err
    assert not [f for f in files(small_disk) if ".part" in f]
    assert kept
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert len(Corpus(small_disk / "c").tracks) == 8


def test_the_demo(small_disk: Path, cli: Run) -> None:
    check(cli("corpus", "demo", small_disk / "c", "--minutes", 2, "--sample-rate", RATE))
    assert not [f for f in files(small_disk) if ".part" in f]


def test_the_disk_fills_up_while_tables_are_written(small_disk: Path, cli: Run, tmp_path: Path) -> None:
    """Prepared audio is kept; each table is either the complete old or the complete new one."""
    (tmp_path / "src").mkdir()
    soundfile.write(tmp_path / "src" / "a.flac", tone(5.0), RATE)
    arguments = ("corpus", "build", tmp_path / "src", small_disk / "c", "--sample-rate", RATE, "--workers", 1)
    assert cli(*arguments)[0] == 0
    before = {f: (small_disk / "c" / f).read_bytes() for f in ("tracks.csv", "corpus.json", "problems.csv")}
    (tmp_path / "src" / ("n" * 200 + ".txt")).touch()
    fill(small_disk, 0)
    check(cli(*arguments))
    assert {f: (small_disk / "c" / f).read_bytes() for f in before} == before
    (small_disk / "ballast").unlink()
    assert cli(*arguments)[0] == 0
    assert "ignored" in (small_disk / "c" / "problems.csv").read_text()


def test_unpacking(small_disk: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        for i in range(10):
            bundle.writestr(f"{i}.bin", bytes(60_000))
    with pytest.raises(DiskFullError, match="the disk is full"):
        unpack(tmp_path / "a.zip", small_disk)
    assert files(small_disk) == []


def test_training(small_disk: Path, cli: Run, corpus: Corpus) -> None:
    sets = [x for s in (*QUICK, *PLAIN, "model.hidden=64", "training.checkpoint_seconds=0") for x in ("--set", s)]
    check(cli("train", corpus.folder, small_disk / "m", "--model", "sample-lstm", "--epochs", 0.1, *sets))
    assert not [f for f in files(small_disk) if ".part" in f]


def test_drawing(small_disk: Path, cli: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(3.0), RATE)
    fill(small_disk, 8_000)
    check(cli("view", tmp_path / "a.wav", small_disk / "a.png"))
    assert files(small_disk) == ["ballast"]
