"""Audio input and output: formats, rates, channels, damage."""

from __future__ import annotations

import re
import shutil
import struct
import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import soxr
from conftest import is_root, tone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noizenet.audio.dsp import rms, stream_frames
from noizenet.audio.read import AudioReader, converted_blocks, read
from noizenet.audio.resample import StreamResampler
from noizenet.audio.waveform import Waveform, concatenate, mix_channels
from noizenet.audio.write import AudioWriter, from_pcm16, to_pcm16, write
from noizenet.base.errors import AudioError, NoizenetError, UsageError


class TestWaveform:
    def test_it_is_immutable(self) -> None:
        w = Waveform(np.zeros(10, np.float32), 8000)
        with pytest.raises(ValueError, match="read-only"):
            w.samples[0] = 1
        with pytest.raises(AttributeError):
            w.sample_rate = 1  # type: ignore[misc]

    def test_the_callers_array_stays_writable(self) -> None:
        x = np.zeros(10, np.float32)
        Waveform(x, 8000)
        x[0] = 1

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_invalid_samples_are_refused(self, bad: float) -> None:
        with pytest.raises(AudioError, match="NaN or infinity"):
            Waveform(np.array([0, bad], np.float32), 8000)
        with pytest.raises(UsageError, match="shape"):
            Waveform(np.zeros((2, 2, 2), np.float32), 8000)
        with pytest.raises(UsageError, match="sample rate"):
            Waveform(np.zeros(2, np.float32), 0)

    def test_rates_do_not_mix(self) -> None:
        a, b = (Waveform(np.zeros(10, np.float32), r) for r in (8000, 16000))
        with pytest.raises(UsageError, match="rates"):
            concatenate([a, b])
        assert len(concatenate([a, a])) == 20

    @pytest.mark.parametrize(("have", "want"), [(1, 1), (2, 1), (6, 1), (1, 2), (2, 2), (6, 2), (5, 2)])
    def test_mixing_keeps_full_scale(self, have: int, want: int) -> None:
        loud = np.ones((50, have), np.float32)
        mixed = mix_channels(loud, want)
        assert mixed.shape == (50, want)
        assert mixed.dtype == np.float32
        assert mixed.max() <= 1 + 1e-6
        assert mixed.min() > 0.9 or have == 6


FORMATS = [
    ("wav", "PCM_16"), ("wav", "PCM_U8"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"),
    ("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III"), ("aiff", "PCM_16"),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_are_read(suffix: str, subtype: str, channels: int, tmp_path: Path) -> None:
    rate = 48_000
    x = tone(2.0, rate)
    data = np.stack([x] * channels, axis=1) if channels > 1 else x
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, data, rate, subtype=subtype)
    w = read(path)
    assert (w.sample_rate, w.channels) == (rate, channels)
    assert abs(w.seconds - 2.0) < 0.1
    half = read(path, sample_rate=22_050, channels=1)
    assert abs(half.seconds - 2.0) < 0.1
    decoded = soundfile.read(path, always_2d=True)[0].mean(1)
    reference = librosa.resample(decoded, orig_sr=rate, target_sr=22_050)
    n = min(len(half), len(reference))
    assert np.abs(half.samples[:n] - reference[:n]).max() < 0.02


def test_many_channels_and_high_rates(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    soundfile.write(path, np.stack([tone(1.0, 192_000)] * 6, axis=1), 192_000)
    w = read(path, sample_rate=22_050, channels=2)
    assert w.samples.shape == (22_050, 2)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs the ffmpeg program")
def test_m4a_through_ffmpeg(tmp_path: Path) -> None:
    import subprocess

    soundfile.write(tmp_path / "a.wav", tone(2.0, 44_100), 44_100)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-metadata", "artist=Someone", tmp_path / "a.m4a"]
    subprocess.run(command, check=True)
    with AudioReader(tmp_path / "a.m4a") as reader:
        assert reader.info.artist == "Someone"
        assert reader.info.sample_rate == 44_100
    w = read(tmp_path / "a.m4a", sample_rate=22_050)
    assert abs(w.seconds - 2.0) < 0.1
    assert w.samples.std() > 0.05
    (tmp_path / "cut.m4a").write_bytes((tmp_path / "a.m4a").read_bytes()[:900])
    with pytest.raises(AudioError, match=r"cut\.m4a"):
        read(tmp_path / "cut.m4a")


def test_resampling_in_blocks_equals_resampling_at_once() -> None:
    x = tone(3.0, 44_100)[:, None]
    stream = StreamResampler(44_100, 22_050, 1)
    cuts = [0, 1, 17, 5000, 5001, 60_000, len(x)]
    parts = [stream.push(x[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    joined = np.concatenate([*parts, stream.finish()])[:, 0]
    whole = soxr.resample(x[:, 0], 44_100, 22_050, quality="HQ")
    n = min(len(joined), len(whole))
    assert abs(len(joined) - len(whole)) <= 1
    assert np.abs(joined[:n] - whole[:n]).max() < 1e-6


def test_reading_in_blocks_does_not_depend_on_the_block(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(5.0, 44_100), 44_100)
    results = []
    for seconds in (0.013, 1.0, 60.0):
        with AudioReader(tmp_path / "a.flac") as reader:
            results.append(np.concatenate(list(converted_blocks(reader, 16_000, 1, seconds))))
    for other in results[1:]:
        assert len(other) == len(results[0])
        assert np.abs(other - results[0]).max() < 1e-6


class TestBadInput:
    def check(self, path: Path, message: str) -> None:
        with pytest.raises(NoizenetError, match=message) as caught:
            read(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path: Path) -> None:
        self.check(tmp_path / "no.wav", "no such file")

    def test_folder(self, tmp_path: Path) -> None:
        self.check(tmp_path, "is a folder")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "empty.mp3").touch()
        self.check(tmp_path / "empty.mp3", "empty")

    def test_text_renamed(self, tmp_path: Path) -> None:
        (tmp_path / "text.mp3").write_text("This is not music. " * 200)
        self.check(tmp_path / "text.mp3", "not a readable recording|zero length|damaged")

    def test_zero_length(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "zero.wav", np.zeros(0), 44_100)
        self.check(tmp_path / "zero.wav", "zero length")

    def test_truncated_flac_names_the_place(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        soundfile.write(tmp_path / "whole.flac", rng.uniform(-0.5, 0.5, 10 * 44_100), 44_100)
        data = (tmp_path / "whole.flac").read_bytes()
        (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
        with AudioReader(tmp_path / "cut.flac") as reader:
            seconds = sum(len(b) for b in reader.blocks()) / 44_100
        assert 4.5 < seconds < 5.5
        assert [i.kind for i in reader.issues] == ["lost"]
        assert re.match(rf"damaged after {seconds:.1f} s \(its header declares 10.0 s\)", reader.issues[0].text)

    def test_nan(self, tmp_path: Path) -> None:
        x = tone(1.0)
        x[5000:] = np.nan
        soundfile.write(tmp_path / "nan.wav", x, 8000, subtype="FLOAT")
        with AudioReader(tmp_path / "nan.wav") as reader:
            y = np.concatenate(list(reader.blocks()))[:, 0]
        assert np.array_equal(y[:5000], x[:5000].astype(np.float32))
        assert not y[5000:].any()
        assert (
            reader.issues[0].text
            == "3,000 NaN or infinite samples from 0.62 s to 1.00 s, replaced by zeros; the rest is kept"
        )
        soundfile.write(tmp_path / "all.wav", np.full(800, np.nan), 8000, subtype="FLOAT")
        self.check(tmp_path / "all.wav", "NaN")

    @pytest.mark.skipif(is_root(), reason="root may read everything")
    def test_no_permission(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", tone(1.0), 8000)
        (tmp_path / "a.wav").chmod(0)
        self.check(tmp_path / "a.wav", "permissions")

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.binary(max_size=400), suffix=st.sampled_from([".wav", ".flac", ".ogg", ".mp3", ".aiff"]))
    def test_any_bytes_give_sound_or_one_clear_error(self, tmp_path: Path, data: bytes, suffix: str) -> None:
        path = tmp_path / f"fuzz{suffix}"
        path.write_bytes(data)
        try:
            assert len(read(path))
        except NoizenetError as error:
            assert path.name in str(error)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(0, 43), value=st.integers(0, 255))
    def test_a_changed_header_gives_sound_or_one_clear_error(self, tmp_path: Path, at: int, value: int) -> None:
        path = tmp_path / "header.wav"
        body = to_pcm16(tone(0.5)).tobytes()
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF",
            36 + len(body),
            b"WAVE",
            b"fmt ",
            16,
            1,
            1,
            8000,
            16000,
            2,
            16,
            b"data",
            len(body),
        )
        data = bytearray(header + body)
        data[at] = value
        path.write_bytes(data)
        try:
            assert len(read(path))
        except NoizenetError as error:
            assert path.name in str(error)


class TestWriting:
    @pytest.mark.parametrize("suffix", [".wav", ".flac"])
    def test_lossless_round_trip(self, suffix: str, tmp_path: Path) -> None:
        x = from_pcm16(np.arange(-32768, 32768, 7).astype(np.int16))
        write(tmp_path / f"a{suffix}", Waveform(x, 22_050))
        assert np.array_equal(read(tmp_path / f"a{suffix}").samples, x)

    def test_ogg_in_one_large_block(self, tmp_path: Path) -> None:
        write(tmp_path / "a.ogg", Waveform(tone(60.0, 22_050), 22_050))
        assert abs(read(tmp_path / "a.ogg").seconds - 60) < 0.01

    def test_clipping_is_counted(self, tmp_path: Path) -> None:
        assert write(tmp_path / "a.wav", Waveform(np.array([0, 2, -3, 0.5], np.float32), 8000)) == 2

    def test_a_failure_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        write(path, Waveform(tone(1.0), 8000))
        before = path.read_bytes()
        with pytest.raises(RuntimeError), AudioWriter(path, 8000) as writer:
            writer.write(tone(0.5))
            raise RuntimeError
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("name", ["a.xyz", "a", "nowhere/a.wav"])
    def test_wrong_names(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            AudioWriter(tmp_path / name, 8000)

    def test_long_and_non_ascii_names(self, tmp_path: Path) -> None:
        for name in ("é ü 音楽 🎵 $x$ [b].wav", "n" * 240 + ".wav"):
            write(tmp_path / name, Waveform(tone(0.5), 8000))
            assert read(tmp_path / name).seconds == 0.5


@given(length=st.integers(1, 64), hop=st.integers(1, 90), sizes=st.lists(st.integers(0, 200), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_streamed_frames_equal_librosa(length: int, hop: int, sizes: list[int]) -> None:
    x = np.arange(sum(sizes), dtype=np.float32)
    cuts = np.cumsum([0, *sizes])
    blocks = [x[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    parts = list(stream_frames(blocks, length, hop))
    ours = np.concatenate(parts) if parts else np.zeros((0, length))
    if len(x) < length:
        assert len(ours) == 0
    else:
        theirs = librosa.util.frame(x, frame_length=length, hop_length=hop, axis=0)
        assert np.array_equal(ours, theirs)


def test_rms_equals_librosa() -> None:
    x = tone(1.0)
    theirs = librosa.feature.rms(y=x, frame_length=256, hop_length=64, center=False)[0]
    ours = np.concatenate([rms(f) for f in stream_frames([x], 256, 64)])
    assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-7)


def test_levels_beyond_32_bits_are_reported_without_a_warning(tmp_path: Path) -> None:
    x = np.cos(np.arange(22_050) / 10)
    soundfile.write(tmp_path / "a.wav", x * 1e300, 22_050, subtype="DOUBLE")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AudioError, match="beyond 32-bit numbers"):
            read(tmp_path / "a.wav")


def test_a_thousand_channels_are_too_many(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((2000, 1000)) + 0.1, 22_050)
    with pytest.raises(AudioError, match="channels; supported are"):
        read(tmp_path / "a.wav")
