"""Preparation of recordings: levels, downmix, silence, damage, and the attribution of errors."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, tone

from noizenet.base.errors import CorpusError, DiskFullError, NoizenetError
from noizenet.corpus import prepare as module
from noizenet.corpus.build import build, read_problems
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.prepare import safe_prepare
from noizenet.corpus.source import Problem
from noizenet.corpus.spool import Levels, Spool

SECONDS = 3.0


def quick(source: Path, out: Path, **options: object) -> Corpus:
    return build(source, out, **{"sample_rate": RATE, "workers": 1, **options})  # type: ignore[arg-type]


def build_one(
    tmp_path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT", **options: object
) -> tuple[Corpus, list[Problem]]:
    """Build a corpus of one recording."""
    (tmp_path / "src").mkdir()
    soundfile.write(tmp_path / "src" / "a.wav", samples, rate, subtype=subtype)
    c = quick(tmp_path / "src", tmp_path / "out", **options)
    return c, read_problems(c.folder)


def correlation(c: Corpus, expected: np.ndarray) -> float:
    found = c.mono(c.tracks[0])
    n = min(len(found), len(expected))
    return float(np.corrcoef(found[:n], expected[:n])[0, 1])


@pytest.mark.parametrize("gain", [10 ** (12 / 20), 32768.0, 2.0**31, 1e9])
def test_audio_above_full_scale_is_scaled_down_and_reported(tmp_path: Path, gain: float) -> None:
    x = tone(SECONDS)
    c, problems = build_one(tmp_path, x.astype(np.float64) * gain / np.abs(x).max(), subtype="DOUBLE")
    assert [p.action for p in problems] == ["repaired"]
    assert "scaled down" in problems[0].reason
    assert correlation(c, x) > 0.9999
    assert np.mean(np.abs(c.samples(c.tracks[0])) > 0.9999) < 0.001
    track = c.tracks[0]
    assert track.rms < track.peak <= 1.0
    assert track.rms == pytest.approx(float(c.samples(track).std()), rel=0.01)


@pytest.mark.parametrize("level_db", [-50, -70, -90, -110])
def test_quiet_audio_is_raised(tmp_path: Path, level_db: float) -> None:
    x = tone(SECONDS)
    c, problems = build_one(tmp_path, x / np.abs(x).max() * 10 ** (level_db / 20))
    assert [p.action for p in problems] == ["repaired"]
    assert "raised" in problems[0].reason
    assert correlation(c, x) > 0.999
    assert len(np.unique(c.read(c.tracks[0]))) > 2_000  # more than 11 of 16 bits are in use


def test_audio_at_a_normal_level_is_unchanged(tmp_path: Path) -> None:
    x = tone(SECONDS)
    c, problems = build_one(tmp_path, x, subtype="PCM_16")
    assert not problems
    original, _ = soundfile.read(tmp_path / "src" / "a.wav", dtype="int16")
    assert np.array_equal(c.read(c.tracks[0])[:, 0], original)


@pytest.mark.parametrize("rate", [RATE, 11_025])
@pytest.mark.parametrize("kind", ["zero", "dither", "offset", "offset with dither"])
def test_recordings_without_audio_are_skipped(tmp_path: Path, kind: str, rate: int) -> None:
    g = np.random.default_rng(3)
    n = int(SECONDS * rate)
    dither = np.rint(g.triangular(-1, 0, 1, n)) / 32768
    x = {"zero": np.zeros(n), "dither": dither, "offset": np.full(n, 0.3), "offset with dither": dither - 0.2}[kind]
    with pytest.raises(CorpusError, match="no usable"):
        build_one(tmp_path, x, rate, "PCM_16")
    reason = read_problems(tmp_path / "out")[0].reason
    assert ("constant" if "offset" in kind else "silent") in reason


@pytest.mark.parametrize("other", [-1.0, -0.9])
def test_one_channel_is_kept_if_channels_cancel(tmp_path: Path, other: float) -> None:
    x = tone(SECONDS)
    c, problems = build_one(tmp_path, np.stack([x, other * x], 1))
    assert [p.action for p in problems] == ["repaired"]
    assert "left" in problems[0].reason
    assert correlation(c, x) > 0.9999
    assert c.tracks[0].peak == pytest.approx(np.abs(x).max(), rel=0.01)


def test_channels_are_chosen_from_the_complete_recording(tmp_path: Path) -> None:
    """Channels that cancel only at the beginning are still averaged."""
    x, y = tone(60, hz=200), tone(60, hz=310)
    left = np.concatenate([0.1 * x[: 8 * RATE], x])
    right = np.concatenate([-0.1 * x[: 8 * RATE], y])
    c, problems = build_one(tmp_path, np.stack([left, right], 1))
    assert not problems
    assert correlation(c, (left + right) / 2) > 0.9999


def test_stereo_keeps_both_channels(tmp_path: Path) -> None:
    x = tone(SECONDS)
    c, problems = build_one(tmp_path, np.stack([x, -x], 1), channels=2)
    assert not problems
    kept = c.samples(c.tracks[0])
    assert np.abs(kept.sum(1)).max() < 1e-3


def test_repairs_are_reported_again_by_a_build_from_the_cache(tmp_path: Path) -> None:
    _, first = build_one(tmp_path, 3 * tone(SECONDS))
    again = quick(tmp_path / "src", tmp_path / "out")
    assert read_problems(again.folder) == first
    assert first


def test_only_the_damaged_part_is_lost(tmp_path: Path) -> None:
    x = tone(20.0)
    x[5 * RATE] = np.nan
    c, problems = build_one(tmp_path, x)
    assert len(problems) == 1
    assert c.tracks[0].seconds == pytest.approx(20.0, abs=0.1)
    assert np.corrcoef(c.mono(c.tracks[0])[8 * RATE :], x[8 * RATE :])[0, 1] > 0.999


def test_long_recordings_are_spooled_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noizenet.corpus import spool

    monkeypatch.setattr(spool, "MEMORY_BYTES", 10_000)
    x = np.stack([tone(SECONDS), tone(SECONDS, hz=333)], 1)
    c, problems = build_one(tmp_path, x, channels=2, subtype="PCM_16")
    assert not problems
    original, _ = soundfile.read(tmp_path / "src" / "a.wav", dtype="int16")
    assert np.array_equal(c.read(c.tracks[0]), original)
    assert sorted(p.suffix for p in (c.folder / "audio").iterdir()) == [".json", ".npy", ".wav"]


def test_levels_of_blocks_equal_levels_of_the_signal() -> None:
    g = np.random.default_rng(0)
    x = (g.normal(0.1, 0.2, (5_000, 2))).astype(np.float32)
    levels = Levels()
    for block in np.split(x, [1, 1_500, 1_500, 4_000]):
        levels.push(block)
    assert levels.rms == pytest.approx(x.astype(float).std(), rel=1e-5)
    assert levels.offset == pytest.approx(x.astype(float).mean(), rel=1e-6)
    assert levels.peak == np.abs(x).max()


class TestErrors:
    """An error is attributed to its cause: the recording, the disk or the system."""

    def recording(self, tmp_path: Path) -> Path:
        (tmp_path / "src").mkdir()
        (tmp_path / "audio").mkdir()
        soundfile.write(tmp_path / "src" / "a.wav", tone(SECONDS), RATE)
        return tmp_path / "src" / "a.wav"

    def test_a_failed_write_ends_the_build(self, tmp_path: Path) -> None:
        path = self.recording(tmp_path)
        found = safe_prepare(path, tmp_path / "gone", RATE, 1, 1.0)
        assert isinstance(found, NoizenetError)

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (MemoryError(), "not enough memory"),
            (ValueError("7 is not 8"), r"decoder failed \(ValueError: 7 is not 8\)"),
        ],
    )
    def test_a_failing_decoder_skips_only_its_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
    ) -> None:
        def fail(*_: object) -> None:
            raise error

        path = self.recording(tmp_path)
        monkeypatch.setattr(module, "_decode", fail)
        with pytest.raises(CorpusError):
            quick(path.parent, tmp_path / "out")
        import re

        assert re.search(reason, read_problems(tmp_path / "out")[0].reason)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
    def test_a_spool_on_a_full_disk(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, 1)
        spool._file.close()
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
            spool._file = full  # type: ignore[assignment]
            with pytest.raises(DiskFullError):
                spool.append(np.zeros((100, 1), np.float32))

    def test_a_limit_on_the_size_of_files(self, tmp_path: Path) -> None:
        """An error of the file system ends the build and is not attributed to the recording."""
        path = self.recording(tmp_path)
        for i in range(3):
            soundfile.write(path.with_name(f"{i}.wav"), tone(20.0, hz=200 + i), RATE)

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        command = [sys.executable, "-m", "noizenet", "corpus", "build", path.parent, tmp_path / "out", "--workers", "1"]
        done = subprocess.run(
            [*map(str, command), "--sample-rate", str(RATE)], preexec_fn=limit, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 1
        assert "larger than this file system or the user's limit allows" in done.stderr
        assert "Traceback" not in done.stderr
        again = quick(path.parent, tmp_path / "out")
        assert len(again.tracks) == 4


@pytest.mark.parametrize("stage", ["start", "one third", "two thirds"])
def test_a_killed_build_resumes_to_the_same_result(tmp_path: Path, stage: str) -> None:
    """After SIGKILL the same command gives the same files as an uninterrupted one: no stale lock, no partial files."""
    for i in range(6):
        (tmp_path / "src").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "src" / f"{i}.wav", tone(30, 44_100, 100 + i), 44_100)
    code = "import sys; from noizenet.corpus.build import build; build(sys.argv[1], sys.argv[2], sample_rate=8000, workers=1)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "src"), str(tmp_path / "out")])
    wanted = {"start": 0, "one third": 2, "two thirds": 4}[stage]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (tmp_path / "out" / ".lock").exists() and len(list((tmp_path / "out").glob("audio/[!.]*.json"))) >= wanted:
            break
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed = quick(tmp_path / "src", tmp_path / "out")
    whole = quick(tmp_path / "src", tmp_path / "whole")
    for name in ("tracks.csv", "problems.csv", "corpus.json"):
        assert (killed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    names = [sorted(p.name for p in (c.folder / "audio").iterdir()) for c in (killed, whole)]
    assert names[0] == names[1]
