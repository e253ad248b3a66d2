"""The declared length, the bytes of the file and the decoded audio are compared; differences are reported."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from encode import RATE, encode, music

from noizenet.audio.issue import Issue
from noizenet.audio.read import AudioReader
from noizenet.base.errors import AudioError

SECONDS = 6.0


def look(path: Path) -> tuple[float, list[Issue], np.ndarray]:
    with AudioReader(path) as reader:
        y = np.concatenate(list(reader.blocks()))
    return len(y) / reader.info.sample_rate, reader.issues, y


def loudness(y: np.ndarray, at: float, rate: int, for_s: float = 0.3) -> float:
    part = y[int(at * rate) : int((at + for_s) * rate)]
    return float(part.std())


# ---- truncation ----

# Maximum loss of the last packet or page, in seconds.
GRAIN = {
    "wv": 1.1,
    "tta": 1.1,
    "ogg": 1.1,
    "opus": 1.1,
    "oggflac": 1.1,
    "wma": 0.2,
    "webm": 0.2,
    "mka": 0.2,
    "flac": 0.2,
    "alac": 0.2,
}
REPORTED = ["wav", "wav24", "wavf", "w64", "aiff", "aifc", "au", "caf", "flac", "mp3", "ogg", "opus", "oggflac", "m4a", "alac", "webm",
        "mka", "wma", "wv", "tta"]  # fmt: skip
WITHOUT = ["mp2", "aac", "ac3", "eac3"]  # streams of frames: nothing declares a length


@pytest.mark.parametrize("kind", REPORTED + WITHOUT)
@pytest.mark.parametrize("share", [0.35, 0.8])
def test_truncation_is_reported(tmp_path: Path, kind: str, share: float) -> None:
    path = encode(tmp_path / f"a.{kind}", music(SECONDS), kind)
    whole, issues, _ = look(path)
    assert issues == []
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    seconds, issues, _ = look(path)
    assert abs(seconds - share * SECONDS) < GRAIN.get(kind, 0.15) + 0.15
    if kind in WITHOUT:
        assert [i for i in issues if "0." not in i.text] == []  # the broken last frame at most
        return
    assert [i.kind for i in issues] == ["lost"]
    found = re.match(r"damaged after ([\d.]+) s( \(its header declares ([\d.]+) s\))?$", issues[0].text)
    assert found, issues
    assert abs(float(found[1]) - seconds) < 0.06 + 0.25 * (kind == "wma")
    if found[3]:
        assert abs(float(found[3]) - whole) < 0.1
    else:
        assert kind in ("ogg", "opus", "oggflac")


def test_an_mp4_without_its_table_of_contents_is_reported(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", music(2.0), "m4a", movflags="0")
    data = path.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError, match=r"table of contents, moov, is missing"):
        look(path)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "m4a", "webm", "wma", "wv", "tta", "aiff", "opus"])
def test_a_header_alone_holds_no_sound(tmp_path: Path, kind: str) -> None:
    path = encode(tmp_path / f"a.{kind}", music(2.0), kind)
    data = path.read_bytes()
    for count in (12, 40, 44 if kind == "wav" else 50):
        path.write_bytes(data[:count])
        with pytest.raises(AudioError) as caught:
            look(path)
        assert re.search(r"holds no sound|not a readable recording", str(caught.value))


# ---- wav: wrong and unknown sizes ----


def sized(data: bytes, size: int, outer: int | None = None) -> bytes:
    at = data.index(b"data") + 4
    d = bytearray(data)
    d[at : at + 4] = struct.pack("<I", size & 0xFFFFFFFF)
    if outer is not None:
        d[4:8] = struct.pack("<I", outer & 0xFFFFFFFF)
    return bytes(d)


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(tmp_path_factory.mktemp("w") / "a.wav", music(SECONDS), "wav").read_bytes()


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
@pytest.mark.parametrize(
    ("size", "outer", "message"),
    [
        (0, 0, "length is 0"),
        (0, 36, "length is 0"),
        (0xFFFFFFFF, 0xFFFFFFFF, ""),
        (0x7FFFFFFF, 0x7FFFFFFF, ""),
        (0x7FFFFFFF - 36, 0x7FFFFFFF, ""),
        (0x7FFFF000, 0x7FFFF024, ""),
        (0x80000000, 0x80000024, ""),
        (0xFFFFFF00, 0xFFFFFF24, ""),
    ],
)
def test_a_wav_of_unknown_size(tmp_path: Path, wav: bytes, size: int, outer: int, message: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(sized(wav, size, outer))
    seconds, issues, _ = look(path)
    assert seconds == SECONDS
    assert [message in i.text and i.kind == "repaired" for i in issues] == ([True] if message else [])


def test_a_wav_with_a_wrong_size(tmp_path: Path, wav: bytes) -> None:
    path, size = tmp_path / "a.wav", round(SECONDS * RATE * 4)
    path.write_bytes(sized(wav, 10 * size))
    seconds, issues, _ = look(path)
    assert (seconds, [i.kind for i in issues]) == (SECONDS, ["repaired"])
    assert "declares 60.0 s, 6.0 s were decoded" in issues[0].text
    path.write_bytes(sized(wav, size // 3))
    seconds, issues, _ = look(path)
    assert (seconds, [i.kind for i in issues]) == (SECONDS, ["repaired"])
    assert issues[0].text == "the header declares 2.0 s, 6.0 s were decoded"


def test_chunks_after_the_audio_of_a_wav_are_not_audio(tmp_path: Path, wav: bytes) -> None:
    path = tmp_path / "a.wav"
    chunk = b"LIST" + struct.pack("<I", 50_004) + b"INFO" + bytes(range(256)) * 195 + bytes(80)
    for tail in (chunk, b"TAG" + bytes(125), bytes(3000), b"id3 " + struct.pack("<I", 20_000) + bytes(20_000), b"\0"):
        path.write_bytes(wav + tail)
        seconds, issues, _ = look(path)
        assert (seconds, issues) == (SECONDS, [])


def test_an_empty_wav_holds_no_sound(tmp_path: Path, wav: bytes) -> None:
    at = wav.index(b"data")
    (tmp_path / "a.wav").write_bytes(sized(wav[: at + 8], 0, at))
    with pytest.raises(AudioError, match="no sound"):
        look(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(sized(wav[: at + 8], 0, at) + b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(AudioError, match="no sound"):
        look(tmp_path / "a.wav")


# ---- flac, mp3: counts in headers ----


def flac_total(data: bytes, total: int) -> bytes:
    d = bytearray(data)
    d[18:26] = ((int.from_bytes(d[18:26], "big") >> 36 << 36) | total).to_bytes(8, "big")
    return bytes(d)


@pytest.mark.parametrize("seconds", [1.0, 5.0, 9.7])
def test_flac_of_unknown_length_is_read_without_an_issue(tmp_path: Path, seconds: float) -> None:
    path = encode(tmp_path / "a.flac", music(seconds), "flac")
    path.write_bytes(flac_total(path.read_bytes(), 0))
    found, issues, y = look(path)
    assert (found, issues) == (seconds, [])
    assert np.abs(y - music(seconds)).max() < 2**-15


def test_wrong_counts_are_not_damage(tmp_path: Path) -> None:
    flac = encode(tmp_path / "a.flac", music(SECONDS), "flac")
    mp3 = encode(tmp_path / "a.mp3", music(SECONDS), "mp3")
    good_flac, good_mp3 = flac.read_bytes(), mp3.read_bytes()
    at = max(good_mp3.find(b"Xing"), good_mp3.find(b"Info")) + 8
    frames = int.from_bytes(good_mp3[at : at + 4], "big")
    for factor in (0.1, 0.5, 3, 20):
        flac.write_bytes(flac_total(good_flac, int(SECONDS * RATE * factor)))
        mp3.write_bytes(good_mp3[:at] + int(frames * factor).to_bytes(4, "big") + good_mp3[at + 4 :])
        for path in (flac, mp3):
            seconds, issues, _ = look(path)
            assert seconds == pytest.approx(SECONDS, abs=0.06)
            assert [i.kind for i in issues] == ["repaired"], issues
            assert f"{SECONDS:.1f} s were decoded" in issues[0].text


def test_vbr_mp3_without_a_length_header(tmp_path: Path) -> None:
    """The length is not estimated from the bit rate at the start."""
    quiet = 0.02 * music(4.0)
    x = np.concatenate([0.9 * np.random.default_rng(0).uniform(-1, 1, (2 * RATE, 2)).astype(np.float32), quiet])
    path = encode(tmp_path / "a.mp3", x, "mp3", write_xing="0", b="0", compression_level="5")
    assert b"Xing" not in path.read_bytes()
    seconds, issues, _ = look(path)
    assert (issues, seconds) == ([], pytest.approx(6.0, abs=0.12))


# ---- joined and chained ----


@pytest.mark.parametrize(
    "kind", ["mp3", "ogg", "opus", "oggflac", "flac", "wav", "m4a", "webm", "mka", "aac", "ac3", "mp2"]
)
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (44_100, 1), (22_050, 2), (24_000, 1)])
def test_joined_files_are_read_completely(tmp_path: Path, kind: str, rate: int, channels: int) -> None:
    if kind in ("ac3", "mp2", "aac") and rate != 44_100:
        rate = 32_000
    first, second = music(2.0), music(3.0, rate, channels, seed=1) * 0.5
    a = encode(tmp_path / f"a.{kind}", first, kind).read_bytes()
    b = encode(tmp_path / f"b.{kind}", second, kind, rate=rate).read_bytes()
    path = tmp_path / f"ab.{kind}"
    path.write_bytes(a + b)
    seconds, issues, y = look(path)
    own = round(len(y) / seconds)
    assert seconds == pytest.approx(5.0, abs=0.2)
    assert y.shape[1] == 2
    assert all(i.kind == "repaired" for i in issues), issues
    assert kind in ("aac", "ac3", "mp2") or issues
    ratio = loudness(y, 3.5, own, 1.0) / loudness(y, 0.5, own, 1.0)
    assert 0.3 < ratio < 0.7  # the level of the second half is kept
    spectrum = np.abs(np.fft.rfft(y[int(3.5 * own) : int(4.5 * own)].mean(axis=1)))
    assert spectrum[:2000].sum() > 0.3 * spectrum.sum()  # at the right speed and without noise


def test_joined_mp3_with_tags_in_between(tmp_path: Path) -> None:
    a, b = (
        encode(tmp_path / f"{n}.mp3", music(s), "mp3", tags={"title": n}).read_bytes()
        for n, s in (("a", 2.0), ("b", 3.0))
    )
    picture = np.random.default_rng(0).bytes(150_000)  # contains bytes that look like frames
    size = len(picture)
    tag = b"ID3\x03\0\0" + bytes([(size >> 21) & 127, (size >> 14) & 127, (size >> 7) & 127, size & 127]) + picture
    (tmp_path / "ab.mp3").write_bytes(a + b"TAG" + bytes(125) + tag + b)
    seconds, issues, _ = look(tmp_path / "ab.mp3")
    assert seconds == pytest.approx(5.0, abs=0.15)
    assert [i.kind for i in issues] == ["repaired"]


def test_many_links(tmp_path: Path) -> None:
    one = encode(tmp_path / "a.ogg", music(0.5), "ogg").read_bytes()
    (tmp_path / "a.ogg").write_bytes(one * 20)
    seconds, issues, _ = look(tmp_path / "a.ogg")
    assert seconds == pytest.approx(10.0, abs=0.1)
    assert [i.text for i in issues] == ["20 recordings joined in one file: all were decoded"]


def test_a_broken_link_is_reported(tmp_path: Path) -> None:
    one = bytearray(encode(tmp_path / "a.ogg", music(1.0), "ogg").read_bytes())
    bad = bytearray(one)
    bad[60:2000] = bytes(1940)  # its headers
    (tmp_path / "a.ogg").write_bytes(one + bad + one)
    seconds, issues, _ = look(tmp_path / "a.ogg")
    assert seconds == pytest.approx(2.0, abs=0.1)
    assert "lost" in [i.kind for i in issues]


@pytest.mark.parametrize("fact", [True, False])
@pytest.mark.parametrize(("codec", "channels"), [("adpcm_ms", 2), ("adpcm_ima_wav", 1)])
def test_a_compressed_wav_declares_its_sample_count(tmp_path: Path, codec: str, channels: int, fact: bool) -> None:
    import av

    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100, layout=("mono", "stereo")[channels - 1])
        samples = (music(3.0, channels=channels) * 32767).astype(np.int16)
        resampler = av.AudioResampler(stream.codec_context.format.name, stream.layout, 44_100, stream.frame_size)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", ("mono", "stereo")[channels - 1])
        frame.sample_rate = 44_100
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    if not fact:
        path.write_bytes(path.read_bytes().replace(b"fact", b"junk", 1))
    with AudioReader(path) as reader:
        frames = sum(len(b) for b in reader.blocks())
        assert reader.info.seconds == pytest.approx(frames / 44_100, abs=0.05)
        assert not reader.issues


class TestEncryption:
    KEY = "76a6c65c5ea762046bd749a2e632ccbb"

    @pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov"])
    def test_encrypted_audio_is_reported(self, tmp_path: Path, movflags: str) -> None:
        secret = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": self.KEY, "encryption_kid": self.KEY}
        path = encode(tmp_path / "a.m4a", music(2.0), "m4a", movflags=movflags, **secret)
        assert path.read_bytes().count(b"enca") == 1
        with pytest.raises(AudioError, match=r"a\.m4a: not a readable recording \(its audio is encrypted.*get a copy"):
            AudioReader(path)

    def test_the_word_in_a_tag_is_not_encryption(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.m4a", music(2.0), "m4a", tags={"title": "enca drms"})
        with AudioReader(path) as reader:
            assert sum(map(len, reader.blocks())) >= 2 * RATE
        assert not reader.issues


class TestSeveralTracks:
    @staticmethod
    def make(path: Path, muxer: str, codec: str, frequencies: list[float], default: int | None = None) -> Path:
        """Write one track of one second for each frequency."""
        import av

        t = np.arange(48_000) / 48_000
        with av.open(str(path), "w", format=muxer) as made:
            streams = [made.add_stream(codec, rate=48_000, layout="mono") for _ in frequencies]
            if default is not None:
                for i, stream in enumerate(streams):
                    stream.disposition = av.stream.Disposition.default if i == default else av.stream.Disposition(0)
            packets = []
            for stream, hz in zip(streams, frequencies, strict=True):
                stream.bit_rate = 128_000
                frame = av.AudioFrame.from_ndarray(
                    np.float32(0.5 * np.sin(2 * np.pi * hz * t))[None], format="fltp", layout="mono"
                )
                frame.sample_rate = 48_000
                resampler = av.AudioResampler(stream.codec_context.format, "mono", 48_000, stream.frame_size or 4096)
                for part in [*resampler.resample(frame), *resampler.resample(None)]:
                    packets += stream.encode(part)
                packets += stream.encode(None)
            made.mux(packets)
        return path

    @staticmethod
    def read_frequency(path: Path) -> tuple[float, list[Issue]]:
        with AudioReader(path) as reader:
            y = np.concatenate(list(reader.blocks()))[:, 0]
        middle = y[len(y) // 4 : len(y) // 4 + 24_000]
        return float(np.abs(np.fft.rfft(middle * np.hanning(24_000))).argmax() * 2), reader.issues

    @pytest.mark.parametrize(
        ("muxer", "codec"),
        [("matroska", "aac"), ("webm", "libopus"), ("mp4", "aac"), ("asf", "wmav2"), ("ogg", "libopus")],
    )
    def test_further_tracks_are_reported(self, tmp_path: Path, muxer: str, codec: str) -> None:
        hz, issues = self.read_frequency(self.make(tmp_path / "a", muxer, codec, [500.0, 900.0]))
        assert hz == 500.0
        assert issues == [Issue("lost", "1 further audio track is not read")]
        hz, issues = self.read_frequency(self.make(tmp_path / "b", muxer, codec, [500.0, 900.0, 700.0]))
        assert hz == 500.0
        assert issues == [Issue("lost", "2 further audio tracks are not read")]

    def test_the_default_track_is_read(self, tmp_path: Path) -> None:
        path = self.make(tmp_path / "a", "matroska", "aac", [500.0, 900.0], default=1)
        assert self.read_frequency(path) == (
            900.0,
            [Issue("lost", "audio track 2 is read; 1 further audio track is not read")],
        )
