"""The studio over HTTP and WebSockets: streaming, recordings, uploads, jobs and access control."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from studio_server import Server, command, hello, receive_audio, running, until, wait_for
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

import noizenet
import noizenet.api
from noizenet.audio.waveform import Waveform
from noizenet.audio.write import pcm_bytes, to_pcm16
from noizenet.base.errors import UsageError
from noizenet.studio.names import check_name, path_inside
from noizenet.studio.settings import Limits, Settings

RATE = 22_050


def tone(seconds: float, seed: int = 0) -> bytes:
    g = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 220 * 2 ** (seed / 12) * t) + 0.05 * g.normal(size=len(t))
    file = io.BytesIO()
    soundfile.write(file, sound.astype(np.float32), RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def studio(token_model: Path, sample_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    for name, model in (("tokens", token_model), ("samples", sample_model)):
        shutil.copytree(model, folder / "named" / name)
    limits = Limits(listeners=6, upload_bytes=2 << 20, uploads=3, decoded_seconds=20.0, decode_cpu_s=20)
    named = (folder / "named" / "tokens", folder / "named" / "samples")
    with running(Settings(folder / "data", port=0, models=named, limits=limits)) as server:
        yield server


class TestRadio:
    @pytest.mark.parametrize("name", ["tokens", "samples"])
    def test_the_stream_equals_the_output_of_generate(self, studio: Server, name: str, tmp_path: Path) -> None:
        with studio.listen(model=name, seed=7) as socket:
            about = hello(socket)
            assert about["type"] == "hello"
            sound, messages = receive_audio(socket, 3 * about["sample_rate"])
        model = noizenet.load_model(studio.studio.library.folder(name))
        seconds = len(sound) / 2 / about["sample_rate"] + 2  # the end of a file is decoded differently
        noizenet.api.generate(model, tmp_path / "g.wav", noizenet.Controls(seconds=seconds, seed=7))
        written, _ = soundfile.read(tmp_path / "g.wav", dtype="int16")
        assert np.array_equal(np.frombuffer(sound, "<i2"), written[: len(sound) // 2])
        states = [m for m in messages if m["type"] == "see"]
        assert states
        assert len(states[-1]["h"]) > 8

    def test_controls_change_the_following_samples(self, studio: Server) -> None:
        with studio.listen(model="tokens", seed=1) as a, studio.listen(model="tokens", seed=1) as b:
            genres = hello(a)["genres"]
            hello(b)
            assert receive_audio(a, 9000)[0] == receive_audio(b, 9000)[0]
            b.send(json.dumps({"type": "move", "set": {"genre": genres[2], "temperature": 1.9}}))
            moved, _ = wait_for(b, "moved")
            assert moved["settings"]["temperature"] == 1.9
            assert moved["settings"]["genre"] == genres[2]
            assert receive_audio(a, 40_000)[0] != receive_audio(b, 40_000)[0]

    def test_marks_are_restored(self, studio: Server) -> None:
        with studio.listen(model="tokens", seed=1) as socket:
            hello(socket)
            receive_audio(socket, 9000)
            socket.send(json.dumps({"type": "move", "mark": "here"}))
            assert wait_for(socket, "moved")[0]["marks"] == ["here"]
            first, _ = receive_audio(socket, 20_000)
            socket.send(json.dumps({"type": "move", "return": "here"}))
            wait_for(socket, "moved")
            assert receive_audio(socket, 20_000)[0] != first
            socket.send(json.dumps({"type": "move", "return": "nowhere"}))
            assert "no mark" in wait_for(socket, "refused")[0]["why"]

    @pytest.mark.parametrize("kind", ["wav", "flac"])
    def test_a_recording_equals_the_sent_samples_and_can_be_rendered_again(self, studio: Server, kind: str) -> None:
        with studio.listen(model="tokens", seed=5) as socket:
            genres = hello(socket)["genres"]
            receive_audio(socket, 5000)
            socket.send(json.dumps({"type": "record", "on": True, "format": kind}))
            wait_for(socket, "recording")
            sound, _ = receive_audio(socket, 20_000)
            socket.send(json.dumps({"type": "move", "set": {"genre": genres[1], "temperature": 0.7}}))
            wait_for(socket, "moved")
            sound += receive_audio(socket, 20_000)[0]
            socket.send(json.dumps({"type": "move", "surprise": True}))
            wait_for(socket, "moved")
            sound += receive_audio(socket, 20_000)[0]
            socket.send(json.dumps({"type": "record", "on": False}))
            name = wait_for(socket, "recorded")[0]["name"]
        kept = studio.ask("GET", f"/api/recordings/{name}").content
        pcm, _ = soundfile.read(io.BytesIO(kept), dtype="int16")
        assert np.array_equal(pcm, np.frombuffer(sound, "<i2"))
        again = studio.ask("POST", f"/api/recordings/{name}/again")
        assert again.content == kept
        recipe = studio.ask("GET", f"/api/recordings/{name.rsplit('.', 1)[0]}.json").json()
        assert [sorted(m) for m in recipe["moves"]] == [["at", "set"], ["at", "reset_state"]]
        assert name in [r["name"] for r in studio.ask("GET", "/api/recordings").json()]
        studio.ask("DELETE", f"/api/recordings/{name}")
        assert studio.ask("GET", f"/api/recordings/{name}").status_code == 404

    def test_a_lost_connection_during_a_recording_loses_nothing(self, studio: Server) -> None:
        with studio.listen(model="tokens") as socket:
            hello(socket)
            socket.send(json.dumps({"type": "record", "on": True, "format": "wav"}))
            name = wait_for(socket, "recording")[0]["name"]
            sound, _ = receive_audio(socket, 9000)
            socket.socket.close()
        until(lambda: name in [r["name"] for r in studio.ask("GET", "/api/recordings").json()])
        pcm, _ = soundfile.read(io.BytesIO(studio.ask("GET", f"/api/recordings/{name}").content), dtype="int16")
        assert np.array_equal(pcm[: len(sound) // 2], np.frombuffer(sound, "<i2"))

    def test_a_lost_connection_is_resumed(self, studio: Server) -> None:
        with studio.listen(model="tokens", seed=9) as socket:
            about = hello(socket)
            first, _ = receive_audio(socket, 9000)
            socket.socket.shutdown(2)  # lost, not closed
        until(lambda: studio.studio.radio.find_session(about["session"]) is not None)
        with studio.listen(model="tokens", seed=9, session=about["session"]) as socket:
            again = hello(socket)
            assert again["session"] == about["session"]
            assert again["given"] == len(first) // 2
            second, _ = receive_audio(socket, 9000)
        with studio.listen(model="tokens", seed=9) as socket:
            hello(socket)
            whole, _ = receive_audio(socket, 9000 + len(second) // 2 + 5000)
        assert whole[: len(first + second)] == first + second
        with studio.listen(model="tokens", seed=9, session="7-made-up") as socket:
            assert hello(socket)["given"] == 0  # an unknown session starts at the beginning

    def test_an_audio_prompt_changes_the_output(self, studio: Server) -> None:
        song = studio.ask("PUT", "/api/seeds/tune.wav", data=tone(6.0)).json()
        assert len(song["peaks"]) > 100
        with studio.listen(model="tokens", seed=1, song=song["song"]) as a, studio.listen(model="tokens", seed=1) as b:
            hello(a)
            hello(b)
            assert receive_audio(a, 9000)[0] != receive_audio(b, 9000)[0]
        with studio.listen(model="tokens", song="../../x.wav") as socket:
            assert hello(socket)["type"] == "impossible"

    @pytest.mark.parametrize("noise", ["normal", "perlin"])
    def test_noise_prompts_are_shown_and_played(self, studio: Server, noise: str) -> None:
        assert len(studio.ask("GET", f"/api/noise/{noise}?seed=3").json()["peaks"]) == 400
        with studio.listen(model="tokens", noise=noise) as socket:
            assert hello(socket)["type"] == "hello"
            receive_audio(socket, 5000)
        assert studio.ask("GET", "/api/noise/pink").status_code == 400

    def test_invalid_requests_are_refused_with_a_reason(self, studio: Server) -> None:
        for query, word in (({"model": "no such"}, "unknown model"), ({"model": "tokens", "genre": "no such"}, "genre"),
                           ({"model": "tokens", "seed": "x"}, "seed"), ({"model": "tokens", "seed": -4}, "seed")):  # fmt: skip
            with studio.listen(**query) as socket:
                message = hello(socket)
                assert message["type"] == "impossible"
                assert word in message["why"]


class TestInvalidMessages:
    def test_ten_thousand_moves_are_merged(self, studio: Server) -> None:
        with studio.listen(model="tokens") as socket:
            genres = hello(socket)["genres"]
            for i in range(10_000):
                socket.send(json.dumps({"type": "move", "set": {"temperature": 0.5 + (i % 100) / 100}}))
            socket.send(json.dumps({"type": "move", "set": {"temperature": 0.77, "genre": genres[1]}}))
            while True:
                moved, _ = wait_for(socket, "moved")
                if moved["settings"]["temperature"] == 0.77:
                    break
            assert receive_audio(socket, 9000)[0]

    def test_malformed_messages_are_refused_and_playback_continues(self, studio: Server) -> None:
        with studio.listen(model="tokens") as socket:
            hello(socket)
            for text in ("", "{", "[]", "3", '{"type":"dance"}', '{"type":"more","samples":-1}', '{"type":"more","samples":true}',
                         '{"type":"more","samples":1e9}', '{"type":"move"}', '{"type":"move","set":{"temperature":"hot"}}',
                         '{"type":"move","set":{"temperature":NaN}}', '{"type":"move","set":{"__class__":1}}',
                         '{"type":"move","set":7}', "[" * 5000):  # fmt: skip
                socket.send(text)
                assert wait_for(socket, "refused")[0]["why"]
            assert receive_audio(socket, 9000)[0]

    def test_endless_malformed_messages_end_only_that_connection(self, studio: Server) -> None:
        with studio.listen(model="tokens") as good, studio.listen(model="tokens") as bad:
            hello(good)
            hello(bad)
            with pytest.raises(ConnectionClosed):
                for _ in range(200):
                    bad.send("nonsense")
                    bad.recv(timeout=20)
            assert receive_audio(good, 9000)[0]

    def test_a_frame_that_is_too_large_ends_only_that_connection(self, studio: Server) -> None:
        with studio.listen(model="tokens") as good, studio.listen(model="tokens") as bad:
            hello(good)
            hello(bad)
            with pytest.raises(ConnectionClosed):
                bad.send("x" * 1_000_000)
                for _ in range(100):
                    bad.recv(timeout=20)
            assert receive_audio(good, 9000)[0]

    def test_a_listener_that_never_reads_does_not_slow_others(self, studio: Server) -> None:
        with studio.listen(model="tokens") as good, studio.listen(model="tokens") as idle:
            hello(good)
            hello(idle)
            for _ in range(50):
                idle.send(json.dumps({"type": "more", "samples": 10**9}))
            assert receive_audio(good, 3 * RATE)[0]

    def test_too_many_listeners_are_refused(self, studio: Server) -> None:
        until(lambda: studio.studio.radio.listeners() == 0)
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                assert hello(stack.enter_context(studio.listen(model="tokens")))["type"] == "hello"
            with studio.listen(model="tokens") as one_more:
                assert "listen already" in hello(one_more)["why"]
        until(lambda: studio.studio.radio.listeners() == 0)


class TestAccess:
    def test_other_host_names_are_refused(self, studio: Server) -> None:
        for host in ("evil.example", f"evil.example:{studio.port}", f"127.0.0.1:{studio.port + 1}", ""):
            assert studio.ask("GET", "/api/models", headers={"Host": host}).status_code in (400, 403)
        assert studio.ask(
            "GET",
            "/api/models",
            headers={"Host": f"localhost:{studio.port}", "Origin": f"http://localhost:{studio.port}"},
        ).ok

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
    def test_cross_site_requests_are_refused(self, studio: Server, origin: str) -> None:
        for method, path in (("GET", "/api/models"), ("PUT", "/api/seeds/a.wav"), ("DELETE", "/api/collections/x")):
            assert studio.ask(method, path, headers={"Origin": origin}).status_code == 403
        with pytest.raises(InvalidHandshake):
            connect(f"ws://127.0.0.1:{studio.port}/radio?model=tokens", origin=origin)  # type: ignore[arg-type]

    def test_requests_that_change_something_need_an_origin(self, studio: Server) -> None:
        import requests

        assert requests.delete(f"{studio.home}/api/collections/x", timeout=20).status_code == 403
        assert requests.get(f"{studio.home}/api/models", timeout=20).ok
        with pytest.raises(InvalidHandshake):
            connect(f"ws://127.0.0.1:{studio.port}/radio?model=tokens")
        cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert requests.get(f"{studio.home}/api/models", headers=cross, timeout=20).status_code == 403

    def test_dns_rebinding_cannot_open_a_stream(self, studio: Server) -> None:
        with pytest.raises(InvalidHandshake):
            connect(
                f"ws://127.0.0.1:{studio.port}/radio?model=tokens", origin="http://evil.example",  # type: ignore[arg-type]
                additional_headers={"Host": "evil.example"},
            )  # fmt: skip

    def test_pages_load_nothing_from_other_hosts(self, studio: Server) -> None:
        for path in ("/", "/app.js", "/live/gates.js", "/api/models"):
            policy = studio.ask("GET", path).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
        assert "http://" not in studio.ask("GET", "/").text.replace(studio.home, "")

    def test_an_open_address_needs_a_token(self, tmp_path: Path) -> None:
        for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
            with pytest.raises(UsageError):
                Settings(tmp_path, host=host)
            with pytest.raises(UsageError):
                Settings(tmp_path, host=host, token="short")
        assert Settings(tmp_path, host="0.0.0.0", token="a" * 16)

    def test_a_token_is_required_everywhere(self, tmp_path: Path) -> None:
        import requests

        secret = "long-enough-secret"
        with running(Settings(tmp_path, port=0, token=secret)) as server:
            assert server.ask("GET", "/").status_code == 403
            assert server.ask("GET", "/?token=wrong-secret-entirely").status_code == 403
            with pytest.raises(InvalidHandshake):
                server.listen(model="tokens")
            with requests.Session() as session:
                assert session.get(f"{server.home}/?token={secret}", timeout=20).ok
                cookie = session.cookies["noizenet-token"]
                assert session.get(f"{server.home}/api/models", timeout=20).ok
            with connect(
                f"ws://127.0.0.1:{server.port}/radio?model=none", origin=server.home,  # type: ignore[arg-type]
                additional_headers={"Cookie": f"noizenet-token={cookie}"},
            ) as socket:  # fmt: skip
                assert hello(socket)["type"] == "impossible"

    @pytest.mark.parametrize(
        "name",
        [
            "..",
            ".",
            "../x",
            "a/b",
            "a\\b",
            "",
            " x",
            "x.",
            "x\0",
            "x\n",
            "~",
            "-x",
            "a" * 201,
            "/etc/passwd",
            "CON",
            "nul.wav",
            "a:b",
            "é" * 101,
            "x\u202e",
            "\ud800",
        ],
    )
    def test_invalid_names_are_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            check_name(name)
        with pytest.raises(UsageError):
            path_inside(tmp_path, name)

    def test_links_out_of_the_folder_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "way").symlink_to(tmp_path)
        with pytest.raises(UsageError):
            path_inside(tmp_path / "data", "way", "x.wav")

    def test_no_path_leaves_the_data_folder(self, studio: Server) -> None:
        for path in ("/api/recordings/..%2F..%2Fjobs", "/api/recordings/%2e%2e", "/api/jobs/..%2f..%2f/report", "/..%2f..%2fapp.py",
                     "/%2e%2e/app.py", "/live/..%2flstm.py", "/api/models/..%2F..%2Fetc/card", "/api/duels/..%2F..%2F/first",
                     "/api/collections/..%2f..%2fx/a.wav"):  # fmt: skip
            for method in ("GET", "PUT", "DELETE"):
                assert studio.ask(method, path, data=b"x").status_code in (400, 404, 405), (method, path)


class TestUploads:
    def test_valid_files_are_stored_and_invalid_ones_refused_by_name(self, studio: Server) -> None:
        good = studio.ask("PUT", "/api/collections/mixed/one.wav?genre=waltz", data=tone(3.0))
        assert good.json()["seconds"] == 3.0
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("zeros", b"\0" * 50_000_000)
        bad = {
            "text.wav": b"this is no sound", "bomb.flac": bomb.getvalue(), "empty.wav": b"", "cut.wav": tone(3.0)[:30],
            "noise.mp3": np.random.default_rng(0).bytes(50_000), "long.wav": tone(25.0), "large.wav": b"\0" * (3 << 20),
            "pickle.wav": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
        }  # fmt: skip
        for name, data in bad.items():
            answer = studio.ask("PUT", f"/api/collections/mixed/{name}", data=data)
            assert answer.status_code in (400, 413, 422), name
            assert name in answer.json()["problem"] or "minutes" in answer.json()["problem"]
        for name in ("run.py", "page.html", "model.pt", "x.zip"):
            assert "audio file" in studio.ask("PUT", f"/api/collections/mixed/{name}", data=tone(1.0)).json()["problem"]
        (found,) = (c for c in studio.ask("GET", "/api/collections").json() if c["name"] == "mixed")
        assert found["files"] == 1
        assert found["genres"] == ["waltz"]

    def test_a_collection_has_a_maximum_of_files(self, studio: Server) -> None:
        for i in range(3):
            assert studio.ask("PUT", f"/api/collections/full/{i}.wav", data=tone(0.5)).ok
        assert "the maximum" in studio.ask("PUT", "/api/collections/full/4.wav", data=tone(0.5)).json()["problem"]
        studio.ask("DELETE", "/api/collections/full")
        assert "full" not in [c["name"] for c in studio.ask("GET", "/api/collections").json()]


class TestJobs:
    def test_invalid_trainings_are_refused(self, studio: Server) -> None:
        studio.ask("PUT", "/api/collections/some/one.wav", data=tone(3.0))
        good = {"collection": "some", "name": "m", "recipe": "paper-rnn", "minutes": 0.05}
        for wrong in ({"collection": "no such"}, {"collection": "../x"}, {"name": "../x"}, {"name": ""}, {"recipe": "x"},
                      {"minutes": -1}, {"minutes": "long"}, {"seed": "x"}):  # fmt: skip
            answer = studio.ask("POST", "/api/trainings", json={**good, **wrong})
            assert answer.status_code == 400
            assert answer.json()["problem"]
        assert studio.ask("POST", "/api/jobs/none/stop").status_code == 400

    def test_too_little_data_fails_with_a_reason(self, studio: Server) -> None:
        studio.ask("PUT", "/api/collections/short/one.wav", data=tone(3.0))
        key = studio.ask(
            "POST", "/api/trainings", json={"collection": "short", "name": "never", "minutes": 0.05}
        ).json()["key"]
        until(lambda: job(studio, key)["state"] == "failed", 120)
        assert job(studio, key)["problem"]
        assert studio.ask("GET", f"/api/jobs/{key}/log").text
        assert studio.ask("POST", f"/api/jobs/{key}/forget").ok

    def test_ab_tests_are_blind_and_counted(self, studio: Server) -> None:
        key = studio.ask("POST", "/api/duels", json={"a": "tokens", "b": "samples"}).json()["key"]
        for side in ("first", "second"):
            assert soundfile.info(
                io.BytesIO(studio.ask("GET", f"/api/duels/{key}/{side}").content)
            ).duration == pytest.approx(10)
        assert studio.ask("POST", f"/api/duels/{key}", json={"choice": "neither"}).status_code == 400
        result = studio.ask("POST", f"/api/duels/{key}", json={"choice": "first"}).json()
        assert {result["first"], result["second"]} == {"tokens", "samples"}
        assert studio.ask("POST", f"/api/duels/{key}", json={"choice": "second"}).status_code == 400
        (row,) = studio.ask("GET", "/api/duels").json()
        assert row["a_better"] + row["b_better"] == 1
        assert row["a_better" if row["a"] == result["first"] else "b_better"] == 1


def job(server: Server, key: str) -> dict[str, object]:
    return next(j for j in server.ask("GET", "/api/jobs").json() if j["key"] == key)


@pytest.mark.slow
def test_a_training_is_paused_resumed_survives_a_kill_and_is_evaluated(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with command(data, 0) as (server, process):
        for genre in ("high", "low"):
            for i in range(4):
                sound = tone(20.0, seed=i + (12 if genre == "high" else 0))
                assert server.ask("PUT", f"/api/collections/tunes/{genre}{i}.wav?genre={genre}", data=sound).ok
        training = {"collection": "tunes", "name": "tuned", "recipe": "paper-lstm", "minutes": 0.5}
        key = server.ask("POST", "/api/trainings", json=training).json()["key"]
        waiting = server.ask("POST", "/api/trainings", json={**training, "name": "second", "minutes": 0.05}).json()[
            "key"
        ]
        until(lambda: len(job(server, key)["losses"]) > 2, 120)
        assert job(server, waiting)["state"] == "queued"
        server.ask("POST", f"/api/jobs/{key}/pause")
        until(lambda: job(server, key)["state"] == "paused")
        server.ask("POST", f"/api/jobs/{waiting}/pause")
        spent = job(server, key)["spent_s"]
        server.ask("POST", f"/api/jobs/{key}/resume")
        until(lambda: job(server, key)["state"] == "running" and job(server, key)["spent_s"] > spent, 120)
        process.kill()
        process.wait()
    with command(data, 0) as (server, _):
        assert job(server, key)["state"] in ("running", "done")
        until(lambda: job(server, key)["state"] == "done", 240)
        assert job(server, key)["samples"] or job(server, key)["losses"]
        assert "tuned" in [m["name"] for m in server.ask("GET", "/api/models").json()]
        with server.listen(model="tuned") as socket:
            hello(socket)
            assert receive_audio(socket, 20_000)[0]
        evaluation = {"model": "tuned", "collection": "tunes", "streams": 2, "seconds": 8, "embedding": "crafted"}
        evaluated = server.ask("POST", "/api/evaluations", json=evaluation).json()["key"]
        until(lambda: job(server, evaluated)["state"] in ("done", "failed"), 240)
        assert job(server, evaluated)["state"] == "done", server.ask("GET", f"/api/jobs/{evaluated}/log").text
        report = server.ask("GET", f"/api/jobs/{evaluated}/report")
        assert "sandbox" in report.headers["content-security-policy"]
        assert server.ask("GET", f"/api/jobs/{evaluated}/figures").json()["figures"]


def test_samples_are_16_bit() -> None:
    samples = np.array([0.0, 0.5, -1.0, 0.99999], np.float32)
    assert pcm_bytes(Waveform(samples, RATE)) == to_pcm16(samples).astype("<i2").tobytes()
