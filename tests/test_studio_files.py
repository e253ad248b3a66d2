"""Uploads, prompts, recordings and jobs of the studio, and their recovery after a kill."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
import requests
import soundfile
from conftest import die_while_writing
from encode import encode, music
from hypothesis import given, settings
from hypothesis import strategies as st
from studio_server import Server, hello, receive_audio, running, until, wait_for

from noizenet.base.errors import DiskFullError, NoizenetError, UsageError
from noizenet.base.files import temporary_name, write_json
from noizenet.studio import jobs as jobs_module
from noizenet.studio import recordings, uploads
from noizenet.studio.job import FAILED, Job
from noizenet.studio.jobs import Queue
from noizenet.studio.names import MAX_NAME_BYTES, check_name, numbered_name, safe_name
from noizenet.studio.quotas import evict_oldest, size_of
from noizenet.studio.refusals import RefusedError, without_paths
from noizenet.studio.settings import Limits, Settings
from noizenet.studio.trainings import Sampler, queue_training

RATE = 22_050
MODEL = "token-lstm"


def wav(seconds: float, hz: float = 220.0, rate: int = RATE) -> bytes:
    t = np.arange(round(seconds * rate)) / rate
    file = io.BytesIO()
    soundfile.write(file, (0.3 * np.sin(2 * np.pi * hz * t)).astype(np.float32), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = Limits(upload_bytes=2 << 20, decoded_seconds=60.0, decode_cpu_s=20, prompts=3, recordings=3)
    with running(Settings(tmp_path_factory.mktemp("st\u00fcdio data"), port=0, limits=limits)) as server:
        yield server


def put(studio: Server, path: str, data: bytes) -> requests.Response:
    return studio.ask("PUT", "/api/collections/" + "/".join(quote(p, safe="") for p in path.split("/")), data=data)


def stored(studio: Server, collection: str) -> dict[str, bytes]:
    root = studio.studio.settings.folder("uploads") / collection
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


class TestNames:
    @given(st.text(max_size=150))
    @settings(max_examples=300, deadline=None)
    def test_safe_names_are_valid_and_stable(self, name: str) -> None:
        made = safe_name(name, "unnamed")
        assert check_name(made) == made == safe_name(made, "unnamed")
        assert len(made.encode()) <= MAX_NAME_BYTES
        assert not set(made) & set('/\\:*?"<>|\0\n')
        assert check_name(numbered_name(made, 17))

    @given(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=40))
    @settings(max_examples=200, deadline=None)
    def test_letters_and_digits_of_every_script_are_kept(self, name: str) -> None:
        composed = unicodedata.normalize("NFC", name)
        if len(composed.encode()) <= MAX_NAME_BYTES and composed.casefold() not in ("con", "prn", "aux", "nul"):
            assert safe_name(name).removeprefix("_") == composed

    def test_suffixes_survive_shortening(self) -> None:
        assert safe_name("\U0001f3b5" * 76 + ".flac").endswith(".flac")
        assert numbered_name("\u00e9" * 98 + ".wav", 123).endswith(" (123).wav")


class TestUploads:
    def test_names_in_every_script_and_album_folders_are_kept(self, studio: Server) -> None:
        given = {"\u0440\u043e\u043a/01 \u043f\u0435\u0441\u043d\u044f.wav": wav(1.0, 200), "\u043f\u043e\u043f/01 \u0432\u0435\u0441\u043d\u0430.wav": wav(1.1, 210),
                 "rock/CD1/01.wav": wav(1.2, 220), "rock/CD2/01.wav": wav(1.3, 230),
                 "\u6b4c/\u0645\u0648\u0633\u064a\u0642\u0649.wav": wav(1.4, 240)}  # fmt: skip
        for path, data in given.items():
            answer = put(studio, f"al\u00f6 \u97f3/{path}", data).json()
            assert answer["stored"] == path
            assert answer["already"] is False
        assert stored(studio, "al\u00f6 \u97f3") == given
        (found,) = [c for c in studio.ask("GET", "/api/collections").json() if c["name"] == "al\u00f6 \u97f3"]
        assert found["files"] == 5
        assert found["genres"] == sorted({p.split("/")[0] for p in given})

    def test_a_name_in_use_gets_a_number_unless_the_file_is_the_same(self, studio: Server) -> None:
        sounds = [wav(1.0, 200 + 20 * i) for i in range(3)]
        names = [put(studio, "twice/01.wav", data).json()["stored"] for data in sounds]
        assert names == ["01.wav", "01 (2).wav", "01 (3).wav"]
        again = put(studio, "twice/01.wav", sounds[1]).json()
        assert (again["already"], again["stored"]) == (True, "01 (2).wav")
        assert sorted(stored(studio, "twice").values()) == sorted(sounds)

    def test_parallel_uploads_of_one_name(self, studio: Server) -> None:
        answers: list[requests.Response] = []
        sounds = [wav(0.5, 200 + 20 * i) for i in range(4)]
        threads = [threading.Thread(target=lambda d=d: answers.append(put(studio, "once/x.wav", d))) for d in sounds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(a.json()["stored"] for a in answers) == ["x (2).wav", "x (3).wav", "x (4).wav", "x.wav"]
        assert sorted(stored(studio, "once").values()) == sorted(sounds)

    def test_names_that_are_invalid_or_too_long(self, studio: Server) -> None:
        for name in (
            "\U0001f3b5" * 76 + ".wav",
            "x" * 251 + ".wav",
            "a\u0308" * 100 + ".wav",
            "CON.wav",
            "what? 1:2 <b>.wav",
        ):
            answer = put(studio, f"invalid names/{name}", wav(0.5))
            assert answer.ok, answer.text
            assert answer.json()["stored"].endswith(".wav")
        for collection in ("x" * 300, "\U0001f3b5" * 76, "CON", "x."):
            answer = put(studio, f"{collection}/a.wav", wav(0.5))
            assert answer.status_code == 400
            assert answer.json()["problem"]
        assert studio.ask("PUT", "/api/collections/x%2F..%2F..%2Fy/a.wav", data=wav(0.5)).status_code == 400
        assert put(studio, "deep/" + "a/" * 30 + "x.wav", wav(0.5)).status_code == 400
        for path in ("recordings", "collections", "jobs", "models", "duels"):
            for tail in ("", "/card", "/report", "/first", "/again", "/gates.json"):
                for method in ("GET", "POST", "DELETE"):
                    answer = studio.ask(method, f"/api/{path}/{quote(chr(0x1F3B5) * 76)}{tail}", json={})
                    assert answer.status_code in (200, 400, 404, 405, 422), (method, path, tail, answer.text)
                    assert str(studio.studio.settings.data) not in answer.text

    def test_a_file_in_place_of_a_folder(self, studio: Server) -> None:
        assert put(studio, "mixed/x.wav", wav(0.5)).ok
        answer = put(studio, "mixed/x.wav/y.wav", wav(0.6))
        assert answer.status_code == 409
        assert str(studio.studio.settings.data) not in answer.text
        assert put(studio, "mixed2/x.wav/y.wav", wav(0.6)).ok
        assert put(studio, "mixed2/x.wav", wav(0.5)).json()["stored"] == "x (2).wav"

    def test_an_incomplete_upload_leaves_nothing(self, studio: Server, capfd: pytest.CaptureFixture[str]) -> None:
        import socket

        head = (f"PUT /api/collections/broken/a.wav HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\n"
                f"Origin: {studio.home}\r\n")  # fmt: skip
        incoming = studio.studio.settings.folder("incoming")
        for kind in ("Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n400\r\n"):
            with socket.create_connection(("127.0.0.1", studio.port)) as raw:
                raw.sendall((head + kind).encode() + b"R" * 700)
                until(lambda: any(p.stat().st_size for p in incoming.iterdir()))
        until(lambda: not any(incoming.iterdir()))
        assert "broken" not in [c["name"] for c in studio.ask("GET", "/api/collections").json()]
        assert "Traceback" not in capfd.readouterr().err

    def test_uploads_do_not_fill_the_disk(self, studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        free = iter([10**12, 10**12, 0])  # before the upload, at the first check during it, at the second
        monkeypatch.setattr(uploads, "DISK_CHECK_BYTES", 20_000)
        monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
        answer = put(studio, "large/a.wav", wav(3.0))
        assert answer.status_code == 507
        assert "nearly full" in answer.json()["problem"]
        assert not any(studio.studio.settings.folder("incoming").iterdir())
        assert "large" not in [c["name"] for c in studio.ask("GET", "/api/collections").json()]

    @pytest.mark.parametrize("size", [Limits().upload_bytes + 1, 10**13, 2**64, 10**30])
    def test_a_content_length_above_the_limit_is_refused_at_once(self, studio: Server, size: int) -> None:
        for path in ("/api/collections/large/a.wav", "/api/seeds/a.wav"):
            head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\nOrigin: http://127.0.0.1:{studio.port}\r\n"
            with socket.create_connection(("127.0.0.1", studio.port), timeout=10) as raw:
                raw.sendall((head + f"Content-Length: {size}\r\n\r\nR").encode())
                assert raw.recv(4096).split(b"\r\n")[0].split()[1] in (b"413", b"400")

    def test_a_newline_in_a_name(self, studio: Server) -> None:
        answer = put(studio, "lines/a\nb.wav", wav(1.0))
        assert answer.ok, answer.text
        assert list(stored(studio, "lines")) == [answer.json()["stored"]]
        assert "\n" not in answer.json()["stored"]

    @pytest.mark.parametrize(("kind", "ending"), [("mka", "mkv"), ("m4a", "mov"), ("ogg", "ogv"), ("wma", "wmv")])
    def test_the_audio_of_videos_is_accepted(self, studio: Server, tmp_path: Path, kind: str, ending: str) -> None:
        answer = put(studio, f"films/a.{ending}", encode(tmp_path / "x", music(2.0), kind).read_bytes())
        assert answer.ok, answer.text
        assert answer.json()["seconds"] == pytest.approx(2.0, abs=0.1)

    def test_removing_a_missing_item_is_an_error(self, studio: Server) -> None:
        assert studio.ask("DELETE", "/api/collections/none").status_code == 404
        assert studio.ask("DELETE", "/api/recordings/none.wav").status_code == 404
        put(studio, "gone/a.wav", wav(1.0))
        assert studio.ask("DELETE", "/api/collections/gone").ok
        assert studio.ask("DELETE", "/api/collections/gone").status_code == 404

    def test_incomplete_uploads_count_towards_the_quota(self, studio: Server) -> None:
        limits = studio.studio.settings.limits
        waiting = studio.studio.settings.folder("incoming") / "x.wav"
        with waiting.open("wb") as handle:
            handle.truncate(limits.total_bytes)  # a sparse file
        answer = put(studio, "more/a.wav", wav(1.0))
        waiting.unlink()
        assert answer.status_code == 507
        assert put(studio, "more/a.wav", wav(1.0)).ok

    def test_a_playlist_cannot_read_other_files(self, studio: Server, tmp_path: Path) -> None:
        import av

        secret = tmp_path / "secret.aac"  # a format that players open from playlists
        with av.open(str(secret), "w", format="adts") as made:
            stream = made.add_stream("aac", rate=RATE, layout="mono")
            for start in range(0, 2 * RATE, 1024):
                tone = np.sin(np.arange(start, start + 1024)[None] / 30).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
                frame.sample_rate, frame.pts = RATE, start
                made.mux(stream.encode(frame))
            made.mux(stream.encode(None))
        assert put(studio, "lists/secret.aac", secret.read_bytes()).ok
        hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2.0,\nfile://{secret}\n#EXT-X-ENDLIST\n"
        dash = (f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S">'
                f'<Period><AdaptationSet mimeType="audio/wav"><Representation id="1" bandwidth="1"><BaseURL>file://{secret}'
                f"</BaseURL></Representation></AdaptationSet></Period></MPD>")  # fmt: skip
        texts = {"song.m4a": hls, "song.mp3": hls.replace("file://", ""), "list.wav": f"ffconcat version 1.0\nfile '{secret}'\n",
                 "d.webm": dash, "s.wma": f"[playlist]\nFile1={secret}\n"}  # fmt: skip
        for name, text in texts.items():
            answer = put(studio, f"lists/{name}", text.encode())
            assert answer.status_code == 422, (name, answer.text)
            assert "secret" not in answer.text
            assert studio.ask("PUT", f"/api/seeds/{name}", data=text.encode()).status_code == 422

    def test_links_are_not_written_through(self, studio: Server, tmp_path: Path) -> None:
        root = studio.studio.settings.folder("uploads")
        (root / "led").mkdir(exist_ok=True)
        (root / "led" / "out").symlink_to(tmp_path)
        assert put(studio, "led/out/x.wav", wav(0.5)).status_code == 400
        assert not list(tmp_path.iterdir())
        (root / "led" / "out").unlink()


class TestPrompts:
    def test_a_prompt_is_stored_as_a_wav_of_its_end(self, studio: Server) -> None:
        file = io.BytesIO()
        t = np.arange(9 * 44_100) / 44_100
        sound = np.stack([0.2 * np.sin(2 * np.pi * (100 + 50 * t) * t), 0.1 * np.sin(2 * np.pi * 330 * t)], 1)
        soundfile.write(file, sound, 44_100, format="FLAC", subtype="PCM_24")
        answer = studio.ask("PUT", f"/api/seeds/{quote('песня.flac')}", data=file.getvalue()).json()
        assert answer["seconds"] == pytest.approx(9.0)
        kept, rate = soundfile.read(studio.studio.settings.folder("seeds") / answer["song"])
        assert rate == 44_100
        assert np.allclose(kept, sound[-5 * 44_100 :], atol=1e-6)

    def test_the_oldest_prompts_are_evicted(self, studio: Server) -> None:
        songs = [studio.ask("PUT", "/api/seeds/a.wav", data=wav(0.5, 200 + i)).json()["song"] for i in range(5)]
        kept = {p.name for p in studio.studio.settings.folder("seeds").iterdir()}
        assert kept == set(songs[-3:])

    def test_a_cache_keeps_its_byte_limit(self, tmp_path: Path) -> None:
        for i in range(6):
            (tmp_path / f"{i}").mkdir()
            (tmp_path / f"{i}" / "x").write_bytes(b"0" * 1000)
            os.utime(tmp_path / f"{i}", (1000 + i, 1000 + i))
        (tmp_path / "judged").write_bytes(b"0" * 9000)
        assert evict_oldest(tmp_path, 100, 3500, keep=("judged",)) == ["0", "1", "2"]
        assert size_of(tmp_path) == 12_000

    def test_beats_of_the_subprocess_equal_those_of_this_process(self) -> None:
        from noizenet.audio.beats import find_beats
        from noizenet.studio.beat_subprocess import find_beats_in_subprocess

        clicks = np.zeros(8 * RATE, np.float32)
        clicks[:: RATE // 2] = 1.0
        here, there = find_beats(clicks, RATE), find_beats_in_subprocess(clicks, RATE)
        assert here.tempo > 0
        assert np.array_equal(here.times, there.times)
        assert np.array_equal(here.clear, there.clear)


class TestRecordings:
    def test_a_kill_loses_no_sent_samples(self, tmp_path: Path) -> None:
        """The files are copied during the recording, in the state in which a kill would leave them."""
        with running(Settings(tmp_path / "a", port=0)) as server, server.listen(model=MODEL, seed=3) as socket:
            hello(socket)
            receive_audio(socket, 5000)
            for kind in ("wav", "flac"):
                socket.send(json.dumps({"type": "record", "on": True, "format": kind}))
                wait_for(socket, "recording")
                sound, _ = receive_audio(socket, 30_000)
                socket.send(json.dumps({"type": "move", "set": {"temperature": 0.6}}))
                wait_for(socket, "moved")
                time.sleep(1.1)
                sound += receive_audio(socket, 30_000)[0]
                killed = tmp_path / kind
                shutil.copytree(tmp_path / "a", killed)
                assert server.ask("GET", "/api/state").json()["recordings_going_on"] == 1
                with running(Settings(killed, port=0)) as after:
                    (found,) = [r for r in after.ask("GET", "/api/recordings").json() if r["name"].endswith(kind)]
                    assert found["recovered"]
                    kept = after.ask("GET", f"/api/recordings/{found['name']}").content
                    pcm, rate = soundfile.read(io.BytesIO(kept), dtype="int16")
                    assert rate == RATE
                    assert np.array_equal(pcm, np.frombuffer(sound, "<i2")[: len(pcm)])
                    assert len(pcm) >= len(sound) // 2 - RATE
                    assert after.ask("POST", f"/api/recordings/{found['name']}/again").content == kept
                    assert not list((killed / "recordings").glob(".*"))
                socket.send(json.dumps({"type": "record", "on": False}))
                wait_for(socket, "recorded")

    def test_unfinished_recordings_of_version_0_1_0_are_recovered(self, tmp_path: Path) -> None:
        data = wav(2.0)
        broken = data[:4] + b"\0\0\0\0" + data[8:40] + b"\0\0\0\0" + data[44:]
        (tmp_path / ".2025-01-02 03-04-05 1-0123456789ab.part.wav").write_bytes(broken)
        (tmp_path / "2025-01-02 03-04-05 1.json").write_text('{"unfinished": true}')
        assert recordings.recover(tmp_path) == ["2025-01-02 03-04-05 1.wav"]
        found, _ = soundfile.read(tmp_path / "2025-01-02 03-04-05 1.wav", dtype="int16")
        assert np.array_equal(found, soundfile.read(io.BytesIO(data), dtype="int16")[0])
        assert recordings.list_recordings(tmp_path)[0]["recovered"]

    def test_hello_reports_the_recording(self, studio: Server) -> None:
        with studio.listen(model=MODEL) as socket:
            about = hello(socket)
            assert about["recording"] is None
            socket.send(json.dumps({"type": "record", "on": True, "format": "wav"}))
            wait_for(socket, "recording")
            receive_audio(socket, 9000)
            socket.socket.shutdown(2)
        until(lambda: studio.studio.radio.find_session(about["session"]) is not None)
        with studio.listen(model=MODEL, session=about["session"]) as socket:
            assert hello(socket)["recording"] is None

    @pytest.mark.parametrize("kind", ["wav", "flac"])
    def test_an_empty_recording_is_not_saved(self, studio: Server, kind: str) -> None:
        recordings = studio.studio.settings.folder("recordings")
        until(lambda: not [p for p in recordings.iterdir() if p.name.startswith(".")])  # of an earlier test
        before = sorted(recordings.iterdir())
        with studio.listen(model=MODEL) as socket:
            hello(socket)
            socket.send(json.dumps({"type": "record", "on": True, "format": kind}))
            wait_for(socket, "recording")
            socket.send(json.dumps({"type": "record", "on": False}))
            assert "no recording" in wait_for(socket, "refused")[0]["why"]
            assert wait_for(socket, "recorded")[0]["name"] is None
            assert sorted(studio.studio.settings.folder("recordings").iterdir()) == before

    def test_the_prompt_is_copied_with_the_recording(self, studio: Server) -> None:
        folder = studio.studio.settings.folder("recordings")
        # An earlier listener's unfinished recording is completed or removed after its connection has ended.
        until(lambda: not any(path.name.startswith(".") for path in folder.iterdir()))
        for path in folder.iterdir():
            path.unlink()
        song = studio.ask("PUT", "/api/seeds/a.wav", data=wav(3.0)).json()[
            "song"
        ]  # shorter than the prompt length: causes a remark
        with studio.listen(model=MODEL, song=song) as socket:
            assert not [r for r in hello(socket)["remarks"] if "/" in r]
            socket.send(json.dumps({"type": "record", "on": True, "format": "wav"}))
            receive_audio(socket, 9000)
            socket.send(json.dumps({"type": "record", "on": False}))
            name = wait_for(socket, "recorded")[0]["name"]
        (studio.studio.settings.folder("seeds") / song).unlink()
        kept = studio.ask("GET", f"/api/recordings/{name}").content
        assert studio.ask("POST", f"/api/recordings/{name}/again").content == kept
        recipe = studio.ask("GET", f"/api/recordings/{Path(name).stem}.json").text
        assert str(studio.studio.settings.data) not in recipe

    def test_recordings_are_limited(self, studio: Server) -> None:
        folder = studio.studio.settings.folder("recordings")
        for i in range(3):
            (folder / f"old {i}.wav").write_bytes(wav(0.1))
        with studio.listen(model=MODEL) as socket:
            hello(socket)
            socket.send(json.dumps({"type": "record", "on": True, "format": "wav"}))
            assert "the maximum" in wait_for(socket, "refused")[0]["why"]
            assert receive_audio(socket, 5000)[0]
        for path in folder.iterdir():
            path.unlink()

    def test_a_full_disk_ends_the_recording_but_not_playback(
        self, studio: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with studio.listen(model=MODEL) as socket:
            hello(socket)
            socket.send(json.dumps({"type": "record", "on": True, "format": "wav"}))
            wait_for(socket, "recording")
            receive_audio(socket, 9000)

            def full(*_: object) -> None:
                raise DiskFullError("the recording: the studio's disk is full")

            monkeypatch.setattr(recordings.Recorder, "write", full)
            socket.send(json.dumps({"type": "more", "samples": 5000}))
            assert "full" in wait_for(socket, "refused")[0]["why"]
            name = wait_for(socket, "recorded")[0]["name"]
            assert receive_audio(socket, 9000)[0]
        assert name in [r["name"] for r in studio.ask("GET", "/api/recordings").json()]


class TestQueue:
    def training(self, **other: object) -> dict[str, object]:
        return {"collection": "c", "name": "m", "recipe": "paper-rnn", "minutes": 0.05, **other}

    @pytest.fixture
    def idle_queue(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, Queue]]:
        """A queue that starts no jobs."""
        monkeypatch.setattr(Queue, "_update", lambda self: None)
        settings = Settings(tmp_path / "d")
        (settings.folder("uploads") / "c").mkdir()
        queue = Queue(settings.folder("jobs"), 4)
        yield settings, queue
        queue.close()

    def test_a_model_name_is_trained_once(self, idle_queue: tuple[Settings, Queue]) -> None:
        settings, queue = idle_queue
        job = queue_training(settings, queue, self.training(name="Caf\u00e9"))
        for name in ("Caf\u00e9", "CAF\u00c9", "Cafe\u0301"):
            with pytest.raises(RefusedError, match="already") as caught:
                queue_training(settings, queue, self.training(name=name))
            assert caught.value.status == 409
        queue.transition(job.key, "stop")
        queue.transition(job.key, "forget")
        assert not queue.folder(job.key).exists()
        queue_training(settings, queue, self.training(name="Caf\u00e9"))

    def test_incomplete_samples_of_a_killed_studio_are_removed(self, idle_queue: tuple[Settings, Queue]) -> None:
        settings, queue = idle_queue
        folder = queue.folder(queue_training(settings, queue, self.training(name="m")).key)
        die_while_writing(folder / "sample-000001.flac")
        in_progress = temporary_name(folder.parent / "sample-000002.flac")
        in_progress.touch()
        in_progress = in_progress.rename(folder / in_progress.name)  # of a running process
        assert len(list(folder.glob(".sample*"))) == 2
        Sampler(settings, queue).close()
        assert list(folder.glob(".sample*")) == [in_progress]
        in_progress.unlink()

    def test_jobs_are_limited(self, idle_queue: tuple[Settings, Queue]) -> None:
        settings, queue = idle_queue
        for i in range(4):
            queue_training(settings, queue, self.training(name=f"m{i}"))
        with pytest.raises(RefusedError, match="remove some"):
            queue_training(settings, queue, self.training(name="one more"))

    def test_the_order_of_jobs_does_not_depend_on_the_clock(
        self, idle_queue: tuple[Settings, Queue], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings, queue = idle_queue
        now = iter(range(10_000, 0, -100))
        monkeypatch.setattr(time, "time", lambda: float(next(now)))
        keys = [queue_training(settings, queue, self.training(name=f"m{i}")).key for i in range(3)]
        monkeypatch.undo()
        monkeypatch.setattr(Queue, "_update", lambda self: None)
        assert [j.key for j in queue.all()] == keys[::-1]
        again = Queue(settings.folder("jobs"))
        assert [j.key for j in again.all()] == keys[::-1]
        again.close()

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "null", '{"key": 1}', "[" * 100_000, '{"key":"k","kind":"train","title":"t","steps":[],"about":{}}',
                 '{"key":"k","kind":"x","title":"t","steps":[["corpus"]]}', "\0\0"])  # fmt: skip
    def test_a_damaged_job_is_reported_and_not_run(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "k").mkdir()
        (tmp_path / "k" / "job.json").write_text(text)
        queue = Queue(tmp_path)
        (job,) = queue.all()
        assert job.state == FAILED
        assert "cannot be read" in job.problem
        with pytest.raises(UsageError):
            queue.transition("k", "resume")
        queue.transition("k", "forget")
        assert not queue.all()
        queue.close()

    def test_a_damaged_job_is_listed(self, tmp_path: Path) -> None:
        settings = Settings(tmp_path, port=0)
        (tmp_path / "jobs" / "k").mkdir()
        (tmp_path / "jobs" / "k" / "job.json").write_bytes(b"\xff\xfe half")
        with running(settings) as server:
            (found,) = server.ask("GET", "/api/jobs").json()
            assert (found["kind"], found["state"]) == ("damaged", "failed")
            assert server.ask("POST", "/api/jobs/k/forget").ok

    def test_a_full_disk_refuses_new_jobs_but_keeps_running_ones(
        self, idle_queue: tuple[Settings, Queue], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings, queue = idle_queue
        job = queue_training(settings, queue, self.training())

        def full(path: Path, value: object) -> None:
            raise DiskFullError(f"{path}: the disk is full")

        monkeypatch.setattr(jobs_module, "write_json", full)
        with pytest.raises(DiskFullError):
            queue_training(settings, queue, self.training(name="other"))
        assert [p.name for p in settings.folder("jobs").iterdir()] == [job.key]
        assert queue.transition(job.key, "pause").state == "paused"
        assert "full" in capsys.readouterr().err
        monkeypatch.setattr(jobs_module, "write_json", write_json)
        monkeypatch.undo()
        queue._update()
        assert json.loads((queue.folder(job.key) / "job.json").read_text())["state"] == "paused"

    def test_a_process_is_identified_by_its_start_time(self) -> None:
        start = jobs_module._process_start(os.getpid())
        assert start > 0
        assert jobs_module._process_start(os.getpid()) == start
        assert jobs_module._process_start(2**22 + 5) == 0.0
        assert Job("k", "train", "t", []).number == 0


def test_two_studios_cannot_share_a_data_folder(tmp_path: Path) -> None:
    from noizenet.base.files import folder_lock
    from noizenet.studio.server import serve

    settings = Settings(tmp_path, port=0)
    with folder_lock(settings.data, "studio's data"), pytest.raises(NoizenetError, match="another process") as caught:
        serve(settings, lambda _: None)
    assert caught.value.exit_code == 1


def test_error_messages_contain_no_folders() -> None:
    roots = [Path("/srv/my data"), Path("/home/x")]
    text = "/srv/my data/uploads/a b.wav: damaged, see /home/x/y.log and /usr/lib/z; https://a.b/c stays, and/or too"
    assert without_paths(text, roots) == "uploads/a b.wav: damaged, see y.log and z; https://a.b/c stays, and/or too"


def test_a_model_is_in_memory_once_and_only_while_in_use(tmp_path: Path) -> None:
    import gc

    from noizenet.base.bundled import bundled
    from noizenet.studio.library import Library

    copies = [Path(shutil.copytree(bundled("models")[MODEL], tmp_path / "n" / f"c{i}")) for i in range(2)]
    library = Library(Settings(tmp_path / "d", models=tuple(copies)))
    first, packed = library.packed("c0")
    second, _ = library.packed("c1")
    again = library.packed("c0")
    assert again[0] is first  # still in use: not read again
    assert again[1] is packed
    assert second is not first
    del first, packed, again
    library.packed("c1")
    gc.collect()
    assert library._in_use_refs["c0"][1]() is None
    os.utime(copies[1] / "model.json", (5, 5))
    assert library.packed("c1")[0] is not second
