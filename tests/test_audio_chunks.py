"""Chunk-based files: big-endian wav, several data chunks, pauses and repeats."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encode import RATE, music

from noizenet.audio.issue import Issue
from noizenet.audio.read import AudioReader
from noizenet.base.errors import AudioError


def look(path: Path, data: bytes | None = None) -> tuple[AudioReader, list[Issue], np.ndarray]:
    if data is not None:
        path.write_bytes(data)
    with AudioReader(path) as reader:
        return reader, reader.issues, np.concatenate(list(reader.blocks()))


def chunk(name: bytes, content: bytes, order: str = "little") -> bytes:
    return name + len(content).to_bytes(4, order) + content + bytes(len(content) % 2)  # type: ignore[arg-type]


def wav(*chunks: bytes, order: str = "little") -> bytes:
    front = {"little": b"RIFF", "big": b"RIFX"}[order]
    return chunk(front, b"WAVE" + b"".join(chunks), order)


def fmt(code: int, channels: int, rate: int, width: int, order: str = "little", more: bytes = b"") -> bytes:
    numbers = ((code, 2), (channels, 2), (rate, 4), (rate * channels * width, 4), (channels * width, 2), (8 * width, 2))
    return chunk(b"fmt ", b"".join(n.to_bytes(size, order) for n, size in numbers) + more, order)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_a_big_endian_wav(tmp_path: Path, subtype: str, channels: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, music(1.0, channels=channels), RATE, subtype=subtype, endian="BIG", format="WAV")
    assert path.read_bytes()[:4] == b"RIFX"
    reader, issues, y = look(path)
    assert not issues
    assert reader.info.seconds == pytest.approx(1.0)
    np.testing.assert_array_equal(y, soundfile.read(path, dtype="float32", always_2d=True)[0])


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_a_big_endian_wav_of_sox(tmp_path: Path, bits: int) -> None:
    if not shutil.which("sox"):
        pytest.skip("needs the sox program")
    soundfile.write(tmp_path / "a.wav", music(1.0), RATE, subtype="PCM_16")
    subprocess.run(["sox", "a.wav", "-b", str(bits), "-B", "b.wav"], cwd=tmp_path, check=True)
    _, issues, y = look(tmp_path / "b.wav")
    assert not issues
    np.testing.assert_array_equal(y, soundfile.read(tmp_path / "a.wav", dtype="float32")[0])


@pytest.mark.parametrize("guid", [b"\0\0\0\1\0\0\0\x10", b"\0\1\0\0\0\0\x10\0", b"\1\0\0\0\0\0\x10\0"])
def test_an_extensible_big_endian_wav(tmp_path: Path, guid: bytes) -> None:
    x = (music(0.5) * 32767).astype(">i2")
    more = (22).to_bytes(2, "big") + (16).to_bytes(2, "big") + (3).to_bytes(4, "big") + guid
    more += b"\x80\0\0\xaa\0\x38\x9b\x71"
    data = wav(fmt(0xFFFE, 2, RATE, 2, "big", more), chunk(b"data", x.tobytes(), "big"), order="big")
    _, issues, y = look(tmp_path / "a.wav", data)
    assert not issues
    np.testing.assert_array_equal(y, x / np.float32(32768))


def test_an_incomplete_big_endian_wav(tmp_path: Path) -> None:
    x = (music(2.0) * 32767).astype(">i2")
    data = wav(fmt(1, 2, RATE, 2, "big"), chunk(b"data", x.tobytes(), "big"), order="big")
    _, issues, y = look(tmp_path / "cut.wav", data[: len(data) // 2])
    assert issues == [Issue("lost", "damaged after 1.0 s (its header declares 2.0 s)")]
    np.testing.assert_array_equal(y, x[: len(y)] / np.float32(32768))
    at = data.index(b"data") + 4
    for size in (b"\0\0\0\0", b"\xff\xff\xff\xff"):  # sizes that programs write while the length is unknown
        _, issues, y = look(tmp_path / "open.wav", data[:at] + size + data[at + 4 :])
        assert all(i.kind == "repaired" for i in issues)
        np.testing.assert_array_equal(y, x / np.float32(32768))
    _, issues, y = look(tmp_path / "junk.wav", b"\x01\xfejunk" * 20 + data)
    assert [i.kind for i in issues] == ["repaired"]
    np.testing.assert_array_equal(y, x / np.float32(32768))
    with pytest.raises(AudioError, match=r"FFIR.*convert it"):
        AudioReader(_written(tmp_path / "ffir.wav", b"FFIR" + data[4:]))


def test_big_endian_wavs_joined(tmp_path: Path) -> None:
    little, big = (
        wav(fmt(1, 2, RATE, 2, o), chunk(b"data", (music(1.0) * 32767).astype(t).tobytes(), o), order=o)
        for o, t in (("little", "<i2"), ("big", ">i2"))
    )
    one = look(tmp_path / "a.wav", big)[2]
    _, issues, y = look(tmp_path / "a.wav", big + big)
    assert [i.kind for i in issues] == ["repaired"]
    np.testing.assert_array_equal(y, np.concatenate([one, one]))
    for first, second, name in ((big, little, "wav"), (little, big, "rifx")):
        _, issues, y = look(tmp_path / "a.wav", first + second)
        np.testing.assert_array_equal(y, one)
        assert [i.kind for i in issues] == ["lost"]
        assert f"another recording ({name})" in issues[0].text


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("code", [1, 3, 7])
def test_audio_in_several_data_chunks(tmp_path: Path, order: str, code: int) -> None:
    width = {1: 2, 3: 4, 7: 1}[code]
    kind = {1: "i2", 3: "f4", 7: "u1"}[code]
    x = music(3.0)
    coded = {1: x * 32767, 3: x, 7: np.arange(x.size).reshape(x.shape) % 256}[code]
    coded = coded.astype((">" if order == "big" else "<") + kind)
    parts = [coded[:RATE], coded[RATE : 2 * RATE], coded[2 * RATE :]]
    head = fmt(code, 2, RATE, width, order)
    whole = look(tmp_path / "one.wav", wav(head, chunk(b"data", coded.tobytes(), order), order=order))[2]
    pieces = [chunk(b"data", p.tobytes(), order) for p in parts]
    tag = chunk(b"LIST", b"INFOISFT" + (4).to_bytes(4, order) + b"data", order)  # type: ignore[arg-type]
    data = wav(head, pieces[0], tag, *pieces[1:], order=order)
    reader, issues, y = look(tmp_path / "a.wav", data)
    assert [i.kind for i in issues] == ["repaired"]
    assert "3 data chunks" in issues[0].text
    assert reader.info.seconds == pytest.approx(3.0)
    np.testing.assert_array_equal(y, whole)
    _, issues, y = look(tmp_path / "cut.wav", data[: -len(parts[-1].tobytes()) // 2])
    assert {i.kind for i in issues} == {"repaired", "lost"}
    np.testing.assert_array_equal(y, whole[: len(y)])
    assert 2.3 * RATE < len(y) < 2.7 * RATE
    _, issues, y = look(tmp_path / "list.wav", wav(head, pieces[0], tag, order=order))
    assert not issues
    assert len(y) == RATE


def test_compressed_audio_in_several_data_chunks_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, music(1.0, channels=1), RATE, subtype="IMA_ADPCM")
    whole = look(path)[2]
    data = path.read_bytes()
    at = data.index(b"data")
    _, issues, y = look(tmp_path / "b.wav", data + data[at:])
    assert [i.kind for i in issues] == ["lost"]
    assert "only the first is read" in issues[0].text
    assert "1.0 s lost" in issues[0].text
    np.testing.assert_array_equal(y, whole)


def test_a_wavl_list_is_refused_with_its_name(tmp_path: Path) -> None:
    x = (music(0.5) * 32767).astype("<i2").tobytes()
    data = wav(fmt(1, 2, RATE, 2), chunk(b"LIST", b"wavl" + chunk(b"data", x) + chunk(b"slnt", bytes(4))))
    with pytest.raises(AudioError, match=r"wavl.*convert it"):
        AudioReader(_written(tmp_path / "a.wav", data))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


class TestVoc:
    """Creative Voice: blocks of audio, silence and repeats."""

    FRONT = b"Creative Voice File\x1a\x1a\0\x0a\x01\x29\x11"

    @staticmethod
    def block(kind: int, content: bytes) -> bytes:
        return bytes([kind]) + len(content).to_bytes(3, "little") + content

    def old(self, x: np.ndarray, rate: int) -> bytes:
        return self.block(1, bytes([256 - round(1e6 / rate), 0]) + x.tobytes())

    def new(self, x: np.ndarray, rate: int, coding: int = 4) -> bytes:
        head = rate.to_bytes(4, "little") + bytes([8 * x.itemsize, x.shape[1], coding, 0, 0, 0, 0, 0])
        return self.block(9, head + x.tobytes())

    @staticmethod
    def tone(seconds: float, rate: int, hz: float = 300.0, channels: int = 1) -> np.ndarray:
        t = np.arange(round(seconds * rate)) / rate
        return np.repeat(np.rint(16000 * np.sin(2 * np.pi * hz * t))[:, None], channels, axis=1).astype("<i2")

    def test_blocks_of_one_format(self, tmp_path: Path) -> None:
        x = self.tone(2.0, 16000, channels=2)
        more = self.block(2, x[16000:].tobytes())
        data = self.FRONT + self.new(x[:16000], 16000) + self.block(5, b"a text\0") + more + b"\0"
        reader, issues, y = look(tmp_path / "a.voc", data)
        assert not issues
        assert reader.info.seconds == pytest.approx(2.0)
        np.testing.assert_array_equal(y, x / np.float32(32768))
        _, issues, y = look(tmp_path / "a.voc", data[: len(data) * 3 // 4])
        assert issues == [Issue("lost", "damaged after 1.5 s (its header declares 2.0 s)")]

    def test_a_second_sample_rate_is_converted(self, tmp_path: Path) -> None:
        first, second = self.tone(1.0, 8000), self.tone(1.0, 16000)
        reader, issues, y = look(
            tmp_path / "a.voc", self.FRONT + self.new(first, 8000) + self.new(second, 16000) + b"\0"
        )
        assert reader.info.sample_rate == 8000
        assert reader.info.seconds == pytest.approx(2.0)
        assert [i.kind for i in issues] == ["repaired"]
        assert "8,000 Hz and 16,000 Hz" in issues[0].text
        assert len(y) == pytest.approx(16000, abs=20)
        np.testing.assert_array_equal(y[:8000], first / np.float32(32768))
        np.testing.assert_allclose(y[8200:15800], first[200:7800] / 32768, atol=0.002)

    def test_a_second_coding_is_decoded_correctly(self, tmp_path: Path) -> None:
        x = self.tone(1.0, 10000)
        coarse = (x // 256 + 128).astype(np.uint8)
        _, issues, y = look(tmp_path / "a.voc", self.FRONT + self.old(coarse, 10000) + self.new(x, 10000) + b"\0")
        assert not issues
        np.testing.assert_array_equal(y[:10000], (coarse.astype(np.float32) - 128) / 128)
        np.testing.assert_array_equal(y[10000:], x / np.float32(32768))

    def test_silence_and_repeats_are_reported(self, tmp_path: Path) -> None:
        x = (self.tone(1.0, 10000) // 256 + 128).astype(np.uint8)
        silence = self.block(3, (4999).to_bytes(2, "little") + bytes([156]))
        repeat, end = self.block(6, (2).to_bytes(2, "little")), self.block(7, b"")
        data = self.FRONT + self.old(x, 10000) + silence + repeat + self.old(x, 10000) + end + silence + b"\0"
        _, issues, y = look(tmp_path / "a.voc", data)
        assert issues == [
            Issue("lost", "2 pauses of silence (1.0 s) left out; the audio before and after was joined"),
            Issue("lost", "a part of 1.0 s that repeats (2 more times, 2.0 s) is read once"),
        ]
        assert len(y) == 20000

    def test_files_written_by_sox(self, tmp_path: Path) -> None:
        if not shutil.which("sox"):
            pytest.skip("needs the sox program")
        soundfile.write(tmp_path / "a.wav", music(2.0), RATE, subtype="PCM_16")
        for name, more in (("a.voc", ["-b", "16"]), ("b.voc", ["-b", "8", "-r", "8000", "-c", "1"])):
            subprocess.run(["sox", "-D", "a.wav", *more, name], cwd=tmp_path, check=True)
            _, issues, y = look(tmp_path / name)
            assert not issues
            whole = soundfile.read(tmp_path / name, dtype="float32", always_2d=True)[0]
            assert abs(len(y) - len(whole)) <= 1000
            np.testing.assert_array_equal(y, whole[: len(y)])
