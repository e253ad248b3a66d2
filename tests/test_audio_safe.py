"""Other files, devices and pipes are never read, whatever a file contains."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from encode import encode, music

from noizenet.audio.decode_av import CODECS
from noizenet.audio.read import AudioReader, read
from noizenet.audio.sniff import CONTAINERS
from noizenet.base.errors import AudioError, NoizenetError


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return encode(tmp_path / "elsewhere" / "private.aac", music(2.0), "aac")


def playlists(path: Path) -> dict[str, bytes]:
    url = str(path)
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n".encode(),
        "hls_file": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{url}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{url}'\n".encode(),
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S">'
            '<Period><AdaptationSet mimeType="audio/aac"><Representation id="1" bandwidth="1">'
            f"<BaseURL>file://{url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ).encode(),
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\na=control:{url}\n".encode(),
        "cue": f'FILE "{url}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n'.encode(),
        "subtitles": f"1\n00:00:00,000 --> 00:00:02,000\n{url}\n".encode(),
        "ffmetadata": f";FFMETADATA1\ntitle={url}\n".encode(),
        "m3u": f"{url}\n".encode(),
        "utf16": f"#EXTM3U\n{url}\n".encode("utf-16"),
    }


def id3(size: int) -> bytes:
    return (
        b"ID3\x03\0\0" + bytes([(size >> 21) & 127, (size >> 14) & 127, (size >> 7) & 127, size & 127]) + b"\0" * size
    )


def wav_header(size: int) -> bytes:
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", size
    )


@pytest.mark.parametrize("name", ["song.wav", "song.m4a", "song.mp3", "song.aac", "song.m3u8"])
@pytest.mark.parametrize("front", [b"", b"\xef\xbb\xbf", id3(200), b"\r\n\r\n"])
def test_playlists_are_never_followed(tmp_path: Path, secret: Path, name: str, front: bytes) -> None:
    for kind, text in playlists(secret).items():
        path = tmp_path / name
        path.write_bytes(front + text)
        opened = []
        real = os.open

        def spy(target: object, *args: object, real: object = real, opened: list[str] = opened, **more: object) -> int:
            opened.append(str(target))
            return real(target, *args, **more)  # type: ignore[operator]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "open", spy)
            with pytest.raises(AudioError) as caught:
                read(path)
        assert not any("private" in o for o in opened), kind
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_other_file_is_open_while_a_playlist_after_a_wav_header_is_read(tmp_path: Path, secret: Path) -> None:
    for text in playlists(secret).values():
        body = text * 40  # after a wav header, all bytes are samples
        path = tmp_path / "song.wav"
        path.write_bytes(wav_header(len(body)) + body)
        with AudioReader(path) as reader:
            blocks = list(reader.blocks())
            links = [str(p.resolve()) for p in Path("/proc/self/fd").iterdir()]
        assert not any("private" in target for target in links)
        assert sum(len(b) for b in blocks) == len(body) // 2


def test_an_mp4_with_a_reference_to_another_file_does_not_read_it(tmp_path: Path, secret: Path) -> None:
    path = encode(tmp_path / "a.m4a", music(1.0), "m4a")
    url = b"file://" + os.fsencode(secret) + b"\0"
    data = path.read_bytes()
    at = data.index(b"url ")
    assert data[at - 4 : at] == struct.pack(">I", 12)
    # Without the self-contained flag, the data reference is external.
    path.write_bytes(data[: at + 4] + b"\0\0\0\0" + data[at + 8 :].replace(b"isom", url[:4], 0))
    try:
        w = read(path)
    except AudioError:
        return
    assert w.seconds < 1.2  # its own bytes at most


@pytest.mark.parametrize("name", ["pipe.wav", "pipe.mp3"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(AudioError, match=r"is a pipe.*not a file"):
        AudioReader(tmp_path / name)
    (tmp_path / "link.wav").symlink_to(tmp_path / name)
    with pytest.raises(AudioError, match="is a pipe"):
        AudioReader(tmp_path / "link.wav")


def test_devices_and_sockets_are_refused(tmp_path: Path) -> None:
    for device in ("/dev/zero", "/dev/null", "/dev/tty"):
        if Path(device).exists():
            with pytest.raises(AudioError, match=r"device|cannot be opened"):
                AudioReader(device)
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(tmp_path / "s.wav"))
        except OSError:
            pytest.skip("the path is too long for a socket")
        with pytest.raises(AudioError, match=r"socket|cannot be opened"):
            AudioReader(tmp_path / "s.wav")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nowhere")
    with pytest.raises(AudioError, match="no such file"):
        AudioReader(tmp_path / "dangling.wav")


def test_a_link_to_a_recording_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", music(1.0), 44_100)
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    assert read(tmp_path / "b.wav").seconds == 1.0


def test_the_table_has_only_audio_demuxers() -> None:
    import av

    followers = {
        "hls",
        "dash",
        "concat",
        "image2",
        "image2pipe",
        "lavfi",
        "sdp",
        "rtsp",
        "applehttp",
        "imf",
        "webm_dash_manifest",
    }
    for container in CONTAINERS.values():
        assert container.demuxer not in followers
        assert not container.demuxer or container.demuxer in {n for f in av.formats_available for n in f.split(",")}
    video = {c for c in CODECS if c in av.codecs_available and av.Codec(c, "r").type != "audio"}
    assert not video


@pytest.mark.parametrize(("data", "what"), [(b"MThd" + b"\0" * 50, "MIDI"), (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "picture"),
    (b"%PDF-1.4\n" + bytes(200), "PDF"), (b"PK\x03\x04" + bytes(200), "ZIP"), (bytes(5000), "zeros"), (b"RIFF\0\0\0\0AVI LIST" + bytes(99), "AVI"),
    (b"<html><body>404 not found</body></html>", "text")])  # fmt: skip
def test_other_file_types_are_named(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "a.mp3").write_bytes(data)
    with pytest.raises(AudioError, match=what):
        read(tmp_path / "a.mp3")


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "ogg", "m4a", "webm", "wma", "aac", "opus", "aiff"])
def test_absurd_headers_allocate_little_memory(tmp_path: Path, kind: str) -> None:
    path = encode(tmp_path / f"a.{kind}", music(0.5), kind)
    good, rng = path.read_bytes(), np.random.default_rng(1)
    for _ in range(25):
        data = bytearray(good)
        at = int(rng.integers(0, min(len(data), 400) - 8))
        data[at : at + int(rng.integers(1, 8))] = rng.bytes(int(rng.integers(1, 8)))
        path.write_bytes(data)
        try:
            w = read(path)
        except NoizenetError as error:
            assert path.name in str(error)
            continue
        assert w.samples.nbytes < 100e6


@pytest.mark.parametrize("kind", ["w64", "caf", "wav", "aiff", "m4a", "webm", "wv", "au"])
@pytest.mark.parametrize("value", [b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", bytes(8)])
def test_absurd_sizes(tmp_path: Path, kind: str, value: bytes) -> None:
    path = encode(tmp_path / f"a.{kind}", music(0.3), kind)
    good = path.read_bytes()
    for at in range(4, 120, 4):
        path.write_bytes(good[:at] + value + good[at + 8 :])
        try:
            assert len(read(path))
        except NoizenetError as error:
            assert path.name in str(error)


def test_a_wav_of_endless_empty_chunks_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + bytes(4_000_000))
    with pytest.raises(AudioError, match="holds no sound"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("kind", ["m4a", "caf", "mka", "wv", "opus"])
@pytest.mark.parametrize("layout", ["3.0", "5.0", "5.1", "7.1"])
def test_custom_channel_orders_do_not_crash_the_process(tmp_path: Path, kind: str, layout: str) -> None:
    """PyAV frees such a layout twice; glibc aborts soon after, not at once."""
    x = music(0.5, channels={"3.0": 3, "5.0": 5, "5.1": 6, "7.1": 8}[layout])
    path = encode(tmp_path / f"a.{kind}", x, kind, rate=48_000, layout=layout)
    for _ in range(15):
        assert read(path, channels=2).seconds == pytest.approx(0.46, abs=0.06)
