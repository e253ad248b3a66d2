"""Downmix by channel layout, detection of cancellation, normalisation of levels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encode import RATE, encode, music
from hypothesis import given, settings
from hypothesis import strategies as st

from noizenet.audio.fold import (
    ONLY_LFE,
    FoldStatistics,
    convert_layout,
    default_layout,
    fold,
    fold_matrix,
    layout_name,
    vorbis_layout,
)
from noizenet.audio.issue import Issue
from noizenet.audio.levels import fit_level, is_silent
from noizenet.audio.read import AudioReader, converted_blocks, mono_blocks, read
from noizenet.audio.waveform import mix_channels
from noizenet.base.errors import UsageError
from noizenet.corpus.prepare import prepare

HZ = {"FL": 300, "FR": 500, "FC": 700, "LFE": 60, "BL": 1100, "BR": 1300, "SL": 1500, "SR": 1700, "BC": 1900}
LAYOUTS = {
    "3.0": ("FL", "FR", "FC"),
    "quad": ("FL", "FR", "BL", "BR"),
    "5.0": ("FL", "FR", "FC", "BL", "BR"),
    "5.1": ("FL", "FR", "FC", "LFE", "BL", "BR"),
    "7.1": ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


def sines(names: tuple[str, ...], rate: int = 48_000, seconds: float = 1.5) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * HZ[n] * t) for n in names], axis=1).astype(np.float32)


def levels(x: np.ndarray, rate: int = 48_000) -> list[dict[str, float]]:
    part = x[rate // 4 : rate // 4 + rate].reshape(rate, -1)
    s = np.abs(np.fft.rfft(part * np.hanning(rate)[:, None], axis=0)) / (rate / 4)
    return [{n: float(s[f, c]) for n, f in HZ.items()} for c in range(part.shape[1])]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "opus", "m4a", "alac", "wv", "mka", "caf"])
def test_every_channel_is_mixed_to_its_side(tmp_path: Path, kind: str, layout: str) -> None:
    names = LAYOUTS[layout]
    if kind == "ogg":  # written by libsndfile, which has no layouts: Vorbis order
        soundfile.write(tmp_path / "a.ogg", sines(vorbis_layout(len(names))), 48_000, subtype="VORBIS", format="OGG")
        path = tmp_path / "a.ogg"
    else:
        if kind == "alac" and layout in ("quad", "5.0", "7.1", "3.0"):
            pytest.skip("ALAC has layouts of its own")
        if (kind, layout) == ("opus", "5.0"):
            pytest.skip("its encoder writes the channels in another order than it says")
        try:
            path = encode(tmp_path / f"a.{kind}", sines(names), kind, rate=48_000, layout=layout)
        except Exception as error:
            pytest.skip(f"not encoded: {error}")
    with AudioReader(path) as reader:
        assert reader.info.channels == len(names)
        assert reader.info.layout == layout
    left, right = levels(read(path, channels=2).samples)
    total = 1 + 0.7071 * (len([n for n in names if n in ("FC", "BL", "SL")]))
    for name in names:
        main, other = (left, right) if name in ("FL", "BL", "SL") else (right, left)
        want = {"FL": 1, "FR": 1, "LFE": 0}.get(name, 0.7071) * 0.3 / total
        assert main[name] == pytest.approx(want, abs=0.012), name
        assert other[name] == pytest.approx(want if name == "FC" else 0, abs=0.012), name
    (mono,) = levels(read(path, channels=1).samples)
    assert mono["FL"] == pytest.approx(mono["FR"], abs=0.01)
    assert mono["LFE"] < 0.01


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs the ffmpeg program")
@pytest.mark.parametrize("layout", ["3.0", "quad", "5.0", "5.1"])
def test_the_downmix_equals_that_of_ffmpeg(tmp_path: Path, layout: str) -> None:
    path = encode(tmp_path / "a.flac", sines(LAYOUTS[layout]), "flac", rate=48_000, layout=layout)
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "2", "-f", "f32le", "-"]
    theirs = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4").reshape(-1, 2)
    ours = read(path, channels=2).samples
    scale = float((ours * theirs).sum() / (theirs * theirs).sum())
    assert np.abs(ours - scale * theirs).max() < 2e-3


@pytest.mark.parametrize("channels", range(1, 13))
@pytest.mark.parametrize("want", [1, 2])
def test_full_scale_stays_full_scale(channels: int, want: int) -> None:
    matrix = fold_matrix(default_layout(channels), want)
    assert matrix.shape == (channels, want)
    assert np.abs(matrix).sum(axis=0).max() <= 1 + 1e-6
    x = np.random.default_rng(channels).uniform(-1, 1, (500, channels)).astype(np.float32)
    assert np.allclose(mix_channels(x, want), x @ matrix if channels != 1 else np.repeat(x, want, 1), atol=1e-6)


def test_more_than_two_channels_are_not_made() -> None:
    with pytest.raises(UsageError, match="mono or stereo"):
        fold(np.zeros((5, 2), np.float32), ("FL", "FR"), 3)
    assert fold(np.ones((5, 6), np.float32), default_layout(6), 6).shape == (5, 6)
    assert layout_name(("FL", "FR", "FC", "LFE", "SL", "SR")) == "5.1"
    assert layout_name(default_layout(11)) == "11 channels"


def test_a_later_part_is_converted_to_the_first_layout() -> None:
    stereo = np.array([[1.0, 2.0]], np.float32)
    five = convert_layout(stereo, ("FL", "FR"), LAYOUTS["5.1"])
    assert five.tolist() == [[1, 2, 0, 0, 0, 0]]
    assert convert_layout(five, LAYOUTS["5.1"], ("FC",)).shape == (1, 1)
    mono = np.array([[3.0]], np.float32)
    assert convert_layout(mono, ("FC",), ("FL", "FR")).tolist() == [[3, 3]]
    assert convert_layout(mono, ("FC",), LAYOUTS["5.1"]).tolist() == [[3, 3, 0, 0, 0, 0]]


class TestCancelling:
    def inverted(self, path: Path, share: float = 1.0, noise: float = 0.0, quiet_s: float = 0.0) -> np.ndarray:
        x = music(3.0, channels=1)
        rng = np.random.default_rng(0)
        y = np.concatenate([x, -share * x], axis=1) + noise * rng.standard_normal((len(x), 2)).astype(np.float32)
        y = np.concatenate([np.zeros((int(quiet_s * RATE), 2), np.float32), y]).astype(np.float32)
        soundfile.write(path, y, RATE, subtype="FLOAT")
        return y

    @pytest.mark.parametrize(
        ("share", "noise", "quiet_s"), [(1.0, 0, 0), (0.9, 0, 0), (0.8, 0.001, 0), (0.9, 0.01, 2.5), (1.2, 0, 9.0)]
    )
    def test_the_louder_channel_is_kept_and_reported(
        self, tmp_path: Path, share: float, noise: float, quiet_s: float
    ) -> None:
        x = self.inverted(tmp_path / "a.wav", share, noise, quiet_s)
        side = int(share > 1)
        assert np.allclose(read(tmp_path / "a.wav", channels=1).samples, x[:, side])
        found: list[Issue] = []
        read(tmp_path / "a.wav", channels=1, issues=found)
        assert [i.kind for i in found] == ["repaired"]
        for block_s in (0.5, 8.0):
            with AudioReader(tmp_path / "a.wav") as reader:
                mono = np.concatenate(list(mono_blocks(reader, block_s)))
            assert np.allclose(mono, x[:, side])
            assert [i.text for i in reader.issues] == [
                f"its channels cancel in mono; the {('left', 'right')[side]} one was kept"
            ]
            assert reader.issues[0].kind == "repaired"
        with AudioReader(tmp_path / "a.wav") as reader:
            stereo = np.concatenate(list(converted_blocks(reader, RATE, 2)))
        assert np.array_equal(stereo, x)
        assert not reader.issues

    def test_stereo_that_does_not_cancel_is_mixed(self, tmp_path: Path) -> None:
        for name, x in (
            ("a", music(3.0)),
            ("b", music(3.0) * np.float32([1, 0])),
            ("c", np.repeat(music(3.0, channels=1), 2, 1)),
        ):
            soundfile.write(tmp_path / f"{name}.wav", x, RATE, subtype="FLOAT")
            with AudioReader(tmp_path / f"{name}.wav") as reader:
                mono = np.concatenate(list(mono_blocks(reader)))
            assert not reader.issues
            assert np.allclose(mono, x.mean(axis=1), atol=1e-6)

    def test_later_cancellation_is_reported(self, tmp_path: Path) -> None:
        x = music(40.0, channels=1)
        y = np.concatenate([x, -x], axis=1)
        y[: 2 * RATE, 1] = 0
        soundfile.write(tmp_path / "a.wav", y, RATE, subtype="FLOAT")
        with AudioReader(tmp_path / "a.wav") as reader:
            list(mono_blocks(reader, 1.0))
        assert [i.kind for i in reader.issues] == ["lost"]
        assert np.allclose(
            read(tmp_path / "a.wav", channels=1).samples, y[:, 0]
        )  # the whole file is read before the decision

    @settings(max_examples=50, deadline=None)
    @given(cuts=st.lists(st.integers(0, 3000), max_size=6), share=st.floats(-1.5, 1.5))
    def test_statistics_do_not_depend_on_block_sizes(self, cuts: list[int], share: float) -> None:
        x = music(0.1, channels=1)
        stereo = np.concatenate([x, share * x], axis=1).astype(np.float32)
        whole, parts = FoldStatistics(), FoldStatistics()
        whole.push(stereo)
        edges = [0, *sorted(min(c, len(x)) for c in cuts), len(x)]
        for a, b in zip(edges, edges[1:], strict=False):
            parts.push(stereo[a:b])
        assert np.allclose(whole.energy, parts.energy, rtol=1e-5)
        assert whole.nonsilent
        mid = float(np.square(stereo.mean(axis=1)).sum())
        assert (
            whole.cancels == (mid < 0.05 * max(1, share**2) * float(np.square(x).sum()))
            or abs(abs(share) - 0.64) < 0.05
        )

    def test_huge_and_tiny_values(self) -> None:
        for scale in (2.0**31, 1e9, 1e-4):
            s = FoldStatistics()
            s.push(np.stack([music(0.1, channels=1)[:, 0]] * 2, axis=1) * np.float32(scale) * np.float32([1, -1]))
            assert s.cancels
            assert np.isfinite(s.energy).all()
        silent = FoldStatistics()
        silent.push(np.zeros((100, 2), np.float32))
        assert not silent.cancels
        assert not silent.nonsilent


class TestLevels:
    @settings(max_examples=100)
    @given(db=st.floats(-119, 200))
    def test_fitted_levels_are_in_range(self, db: float) -> None:
        peak = 10 ** (db / 20)
        gain, issue = fit_level(peak)
        assert peak * gain <= 1 + 1e-9
        assert peak * gain >= 10 ** (-40.001 / 20)
        assert gain == 1 or db > 0 or db < -40 + 1e-6
        if min(abs(db - 1), abs(db + 40)) > 1e-6:  # at the limits rounding decides
            assert (issue is not None) == (db > 1 or db < -40)
        if issue:
            assert issue.kind == "repaired"
            assert float(issue.text.split()[1]) == pytest.approx(db, abs=0.0501)

    def test_the_texts(self) -> None:
        assert fit_level(4.0)[1].text == "peak +12.0 dBFS, scaled down by 12.0 dB"  # type: ignore[union-attr]
        assert fit_level(10**-3.5)[1].text == "peak -70.0 dBFS, raised by 58.0 dB"  # type: ignore[union-attr]

    @pytest.mark.parametrize("peak", [0.0, 1e-7, float("nan")])
    def test_silence_is_left_alone(self, peak: float) -> None:
        assert is_silent(peak)
        assert fit_level(peak) == (1.0, None)

    def test_quiet_is_not_silent(self) -> None:
        assert not is_silent(10 ** (-70 / 20))
        assert not is_silent(2**-19)


class TestOnlyLfe:
    """A recording with audio only in the low-frequency channel is not reported as silent."""

    @pytest.mark.parametrize("kind", ["wav", "flac", "ac3", "mka"])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_it_is_reported(self, tmp_path: Path, kind: str, channels: int) -> None:
        x = sines(LAYOUTS["5.1"])
        x[:, [c for c in range(6) if c != 3]] = 0
        path = encode(tmp_path / f"a.{kind}", x, kind, rate=48_000, layout="5.1")
        issues: list[Issue] = []
        read(path, channels=channels, issues=issues)
        assert ONLY_LFE in [i.text for i in issues]
        whole: list[Issue] = []
        assert np.abs(read(path, issues=whole).samples).max() > 0.1  # without a downmix it is complete
        assert not whole
        made = prepare(path, tmp_path, 48_000, channels, 1.0)
        assert (made.audio, made.problem) == ("", ONLY_LFE)

    def test_no_report_if_another_channel_is_not_silent(self, tmp_path: Path) -> None:
        x = sines(LAYOUTS["5.1"])
        x[:, [c for c in range(6) if c not in (3, 4)]] = 0
        x[:, 4] *= 0.01
        soundfile.write(tmp_path / "a.wav", x, 48_000)
        issues: list[Issue] = []
        read(tmp_path / "a.wav", channels=2, issues=issues)
        assert not issues
        soundfile.write(tmp_path / "b.wav", np.zeros_like(x), 48_000)
        assert prepare(tmp_path / "b.wav", tmp_path, 48_000, 2, 1.0).problem == "silent throughout"
