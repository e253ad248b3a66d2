"""Every supported format: length, level and samples equal the encoded audio, whatever the suffix; tags; layouts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from encode import KINDS, LOSSLESS, NO_PROMISE, RATE, encode, encode_all, ffmpeg_decodes, music, shift_between
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noizenet.audio.read import AUDIO_SUFFIXES, AudioReader, converted_blocks, mono_blocks, read
from noizenet.audio.resample import resample
from noizenet.audio.sniff import sniff
from noizenet.audio.source import Source
from noizenet.audio.waveform import Waveform
from noizenet.audio.write import write
from noizenet.base.errors import AudioError
from robustness import sounds

SECONDS = 3.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return encode_all(tmp_path_factory.mktemp("formats"), music(SECONDS), {"artist": "Ärtist", "title": "Tïtle"})


def sound_of(path: Path) -> tuple[AudioReader, np.ndarray]:
    with AudioReader(path) as reader:
        return reader, np.concatenate(list(reader.blocks()))


@pytest.mark.parametrize("kind", KINDS)
class TestEveryFormat:
    def test_the_encoded_audio_is_decoded(self, files: dict[str, Path], kind: str) -> None:
        if kind not in files:
            pytest.skip("no encoder")
        reader, y = sound_of(files[kind])
        x = music(SECONDS)
        assert not reader.issues
        assert reader.info.layout == "stereo"
        assert (reader.info.seconds is None) == (kind in NO_PROMISE)
        if reader.info.seconds is not None:
            assert reader.info.seconds == pytest.approx(SECONDS, abs=0.1)
        if kind in LOSSLESS:
            assert y.shape == x.shape
            assert np.abs(y - x).max() < 2**-15
            return
        assert len(y) / reader.info.sample_rate == pytest.approx(SECONDS, abs=0.08)
        if reader.info.sample_rate != RATE:
            y = resample(y, reader.info.sample_rate, RATE)
        part = y[RATE : 2 * RATE]
        at = shift_between(part[:, 0], x[:, 0], RATE, 5000)
        for c in range(2):
            assert np.corrcoef(part[:, c], x[at : at + RATE, c])[0, 1] > 0.95
        assert part.std() == pytest.approx(x[at : at + RATE].std(), rel=0.08)

    def test_the_result_equals_that_of_ffmpeg(self, files: dict[str, Path], kind: str) -> None:
        if kind not in files:
            pytest.skip("no encoder")
        reader, y = sound_of(files[kind])
        theirs = ffmpeg_decodes(files[kind], reader.info.sample_rate)
        assert abs(len(y) - len(theirs)) <= 0.05 * reader.info.sample_rate
        n = min(len(y), len(theirs)) - 2000
        part = y[1000:n, 1]
        at = shift_between(part, theirs[:, 1], 1000, 2500)
        n = min(len(part), len(theirs) - at)
        assert np.corrcoef(part[:n], theirs[at : at + n, 1])[0, 1] > 0.99
        assert part[:n].std() == pytest.approx(theirs[at : at + n, 1].std(), rel=0.01)

    def test_blocks_of_any_size_give_the_same_samples(self, files: dict[str, Path], kind: str) -> None:
        if kind not in files:
            pytest.skip("no encoder")
        _, whole = sound_of(files[kind])
        for seconds in (0.0371, 1.5):
            with AudioReader(files[kind]) as reader:
                blocks = list(reader.blocks(seconds))
            size = int(seconds * reader.info.sample_rate)
            assert {len(b) for b in blocks[:-1]} == {size}
            assert np.array_equal(np.concatenate(blocks), whole)

    def test_artist_and_title(self, files: dict[str, Path], kind: str) -> None:
        if kind not in files or kind in ("w64", "caf", "tta", "ac3", "eac3", "aac", "mp2", "au", "aiff", "aifc"):
            pytest.skip("its writer keeps no tags")
        with AudioReader(files[kind]) as reader:
            assert (reader.info.artist, reader.info.title) == ("Ärtist", "Tïtle")


def test_the_result_equals_that_of_soundfile(files: dict[str, Path]) -> None:
    compared = 0
    for kind in ("wav", "wav24", "wavf", "aiff", "au", "caf", "w64", "flac", "ogg"):
        if kind not in files:
            continue
        theirs, rate = soundfile.read(files[kind], dtype="float32", always_2d=True)
        reader, ours = sound_of(files[kind])
        assert reader.info.sample_rate == rate
        n = min(len(ours), len(theirs))
        assert abs(len(ours) - len(theirs)) < 64
        assert np.abs(ours[:n] - theirs[:n]).max() < 2e-4
        compared += 1
    assert compared >= 7


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_U8"), ("wav", "PCM_32"), ("wav", "DOUBLE"), ("wav", "ULAW"),
    ("wav", "ALAW"), ("wav", "IMA_ADPCM"), ("wav", "MS_ADPCM"), ("wav", "GSM610"), ("aiff", "PCM_S8"), ("aiff", "FLOAT"), ("au", "FLOAT"), ("rf64", "PCM_24"),
    ("flac", "PCM_24"), ("caf", "ALAC_16"), ("voc", "PCM_16"), ("paf", "PCM_16"), ("svx", "PCM_16"), ("sf", "PCM_16"), ("nist", "PCM_16"),
    ("avr", "PCM_16"), ("htk", "PCM_16"), ("wavex", "PCM_16"), ("mat5", "PCM_16")])  # fmt: skip
def test_files_written_by_libsndfile(suffix: str, subtype: str, tmp_path: Path) -> None:
    formats = {"sf": "IRCAM", "wavex": "WAVEX"}
    path = tmp_path / f"a.{suffix}"
    x = 0.9 * music(1.0, channels=1)
    try:
        soundfile.write(path, x, RATE, subtype=subtype, format=formats.get(suffix, suffix.upper()))
    except (soundfile.LibsndfileError, ValueError, TypeError):
        pytest.skip("this libsndfile cannot write it")
    if suffix == "mat5" or suffix == "htk":  # tables of numbers, and formats without magic bytes, are not supported
        return
    w = read(path)
    assert w.sample_rate == RATE
    assert abs(len(w) - len(x)) <= 1100
    n = min(len(w), len(x))
    floor = 0.9 if "ADPCM" in subtype or subtype in ("GSM610", "ULAW", "ALAW") else 0.999
    assert np.corrcoef(w.samples[:n], x[:n, 0])[0, 1] > (floor if subtype not in ("PCM_U8", "PCM_S8") else 0.99)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.floats(0.003, 3.0), rate=st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]), channels=st.sampled_from([1, 2]),
       kind=st.sampled_from(["ogg", "flac", "mp3", "m4a"]))  # fmt: skip
def test_conversion_does_not_depend_on_the_block(
    files: dict[str, Path], seconds: float, rate: int, channels: int, kind: str
) -> None:
    if kind not in files:
        return
    with AudioReader(files[kind]) as reader:
        parts = np.concatenate(list(converted_blocks(reader, rate, channels, seconds)))
    whole = read(files[kind], sample_rate=rate, channels=channels).samples.reshape(-1, channels)
    assert len(parts) == len(whole)
    assert np.abs(parts - whole).max() < 1e-5


def test_mono_blocks_are_the_mono_downmix(files: dict[str, Path]) -> None:
    with AudioReader(files["flac"]) as reader:
        mono = np.concatenate(list(mono_blocks(reader)))
    assert np.allclose(mono, music(SECONDS).mean(axis=1), atol=2**-15)


def test_a_file_with_invalid_tags_is_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", music(1.0), "mp3", tags={"artist": "Mot", "title": "Ace"})
    data = path.read_bytes()
    assert b"Mot" in data
    path.write_bytes(data.replace(b"Mot", b"\xff\xfe\xd8"))
    with AudioReader(path) as reader:
        assert reader.info.title == "Ace"
        assert sum(len(b) for b in reader.blocks())


def test_suffixes_of_scans() -> None:
    assert {".aifc", ".wv", ".tta", ".mp2", ".ac3", ".m4a", ".opus", ".wav", ".ape"} <= AUDIO_SUFFIXES
    assert not {".txt", ".jpg", ".m3u8", ".mpd", ".avi", ".mid", ".sd2"} & AUDIO_SUFFIXES


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(9, 8191), min_size=1, max_size=8), st.sampled_from([0, 3, 4, 8, 11]), st.integers(0, 2**32 - 1)
)
def test_the_first_frame_of_any_size_is_detected(tmp_path: Path, sizes: list[int], rate_index: int, seed: int) -> None:
    """The first ADTS frame is not treated as junk if the second is far away or missing."""
    rng = np.random.default_rng(seed)
    frames = [
        bytes([0xFF, 0xF1, 0x40 | rate_index << 2, 0x80 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 0x1F, 0xFC])
        + rng.bytes(size - 7)
        for size in sizes
    ]
    path = tmp_path / "x.bin"
    path.write_bytes(b"".join(frames))
    with Source(path) as source:
        found = sniff(source)
    assert found is not None
    assert (found.container.name, found.start, found.junk) == ("aac", 0, 0)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 96_000])
@pytest.mark.parametrize("channels", [6, 8])
def test_large_frames_are_all_read(tmp_path: Path, rate: int, channels: int) -> None:
    x = sounds.music(1.0, rate, channels, rate + channels)
    try:
        sounds.write(tmp_path / "x.aac", sounds.FORMATS["aac-adts"], x, rate)
    except av.error.FFmpegError:
        pytest.skip("PyAV 19 writes no frames of eight planes")
    reader, y = sound_of(tmp_path / "x.aac")
    assert not reader.issues
    assert len(x) <= len(y) <= len(x) + 3 * 1024
    part = y[2048 : 2048 + rate // 2, 0]
    at = shift_between(part, x[:, 0], 1024, 2000)
    assert np.corrcoef(part, x[at : at + len(part), 0])[0, 1] > 0.9


@pytest.mark.skipif(shutil.which("lame") is None, reason="needs lame")
@pytest.mark.parametrize("options", [["-b", "410"], ["-b", "330", "--resample", "32"], ["-m", "m", "-b", "350"]])
@pytest.mark.parametrize("tags", [[], ["--tt", "a title", "--id3v2-only"]])
def test_an_mp3_of_free_format_is_reported_as_such(tmp_path: Path, options: list[str], tags: list[str]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (44_100, 2)).astype(np.float32)
    write(tmp_path / "a.wav", Waveform(noise, 44_100))
    command = ["lame", "--quiet", "--freeformat", *options, *tags, str(tmp_path / "a.wav"), str(tmp_path / "free.mp3")]
    subprocess.run(command, check=True)
    with pytest.raises(AudioError, match=r"free\.mp3: not a readable recording \(an mp3 of free format"):
        read(tmp_path / "free.mp3")
