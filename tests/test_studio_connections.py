"""Connections to the studio: incomplete requests, request bodies, network addresses and HTTPS."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from studio_server import Server, hello, receive_audio, running, until, wait_for
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from noizenet.base.errors import NoizenetError, UsageError
from noizenet.studio import app as app_module
from noizenet.studio import connections, middleware, settings
from noizenet.studio.server import uvicorn_config
from noizenet.studio.settings import Settings, local_addresses

MODEL = "token-lstm"
SECRET = "long-enough-secret"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Settings(tmp_path_factory.mktemp("data"), port=0)) as server:
        yield server


def raw(studio: Server, data: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", studio.port), timeout=20)
    made.sendall(data)
    return made


def closed(given: socket.socket) -> bool:
    given.settimeout(20)
    try:
        while given.recv(4096):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


class TestIncompleteRequests:
    @pytest.mark.parametrize("kind", ["nothing", "header", "body", "trickle"])
    def test_three_hundred_do_not_block_others(self, studio: Server, kind: str) -> None:
        head = f"POST /api/duels HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\nOrigin: {studio.home}\r\n".encode()
        data = {"nothing": b"", "header": head, "trickle": b"GET / HT", "body": head + b"Content-Length: 50\r\n\r\n{"}[
            kind
        ]
        with studio.listen(model=MODEL) as listening:
            hello(listening)
            incomplete = [raw(studio, data) for _ in range(300)]
            try:
                for _ in range(3):
                    begun = time.monotonic()
                    assert studio.ask("GET", "/api/state").ok
                    assert time.monotonic() - begun < 10
                    if kind == "trickle":
                        for one in incomplete:
                            try:
                                one.sendall(b"T")
                            except OSError:
                                continue  # dropped already
                assert receive_audio(listening, 9000)[0]
                with studio.listen(model=MODEL) as another:
                    assert hello(another)["type"] == "hello"
            finally:
                for one in incomplete:
                    one.close()

    def test_each_is_dropped_after_its_timeout(self, studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", 0.3)
        monkeypatch.setattr(connections, "BODY_STALL_TIMEOUT_S", 0.3)
        head = f"PUT /api/seeds/a.wav HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\nOrigin: {studio.home}\r\n".encode()
        for data in (b"", b"GET /", head, head + b"Content-Length: 90000\r\n\r\nRIFF"):
            one = raw(studio, data)
            assert closed(one), data
            one.close()
        until(lambda: not any(studio.studio.settings.folder("incoming").iterdir()))

    def test_a_slow_upload_is_accepted(self, studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        from test_studio_files import wav

        monkeypatch.setattr(connections, "BODY_STALL_TIMEOUT_S", 1.5)
        data = wav(0.5)

        def slowly() -> Iterator[bytes]:
            for i in range(0, len(data), len(data) // 4):
                yield data[i : i + len(data) // 4]
                time.sleep(0.5)

        assert studio.ask("PUT", "/api/seeds/slow.wav", data=slowly()).ok

    def test_a_client_that_reads_no_response_is_dropped(self, studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "WRITE_TIMEOUT_S", 0.3)
        folder = studio.studio.settings.folder("recordings")
        (folder / "large.wav").write_bytes(b"\0" * (30 << 20))
        one = raw(studio, f"GET /api/recordings/large.wav HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\n\r\n".encode())
        time.sleep(1.0)
        assert closed(one)
        one.close()
        (folder / "large.wav").unlink()


class TestBodies:
    def test_json_bodies_are_limited(self, studio: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        large = json.dumps({"a": "x" * middleware.MAX_BODY_BYTES}).encode()
        for path in ("/api/duels", "/api/trainings", "/api/evaluations", "/api/duels/abc", "/api/jobs/x/stop",
                     "/api/recordings/x/again", "/api/nothing"):  # fmt: skip
            assert studio.ask("POST", path, data=large).status_code == 413, path
            assert (
                studio.ask("POST", path, data=iter([large[i : i + 999] for i in range(0, len(large), 999)])).status_code
                == 413
            )
        assert studio.ask("DELETE", "/api/collections/x", data=large).status_code == 413
        monkeypatch.setattr(middleware, "BODY_TIMEOUT_S", 0.3)
        head = f"POST /api/duels HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\nOrigin: {studio.home}\r\nContent-Length: 50\r\n\r\n{{"
        with raw(studio, head.encode()) as one:
            assert b"408" in one.recv(400)

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("trainings", {}, "collection"), ("trainings", {"collection": "c"}, "name"),
            ("trainings", {"collection": "c", "name": ""}, "name"), ("trainings", {"collection": 7, "name": "n"}, "collection"),
            ("evaluations", {"collection": "c"}, "model"), ("evaluations", {"model": "token-lstm"}, "collection"),
            ("duels", {"a": "token-lstm"}, "b"), ("duels", {"b": None}, "a"), ("duels/abc", {"choices": "first"}, "choice"),
        ],
    )  # fmt: skip
    def test_a_missing_field_is_named(self, studio: Server, path: str, body: dict[str, Any], field: str) -> None:
        answer = studio.ask("POST", f"/api/{path}", json=body)
        assert answer.status_code == 400
        assert answer.json()["problem"].startswith(f"{field}: this field ")

    def test_validation_errors_are_described(self, studio: Server) -> None:
        kind = {"Content-Type": "application/json"}
        for path in ("/api/duels", "/api/trainings", "/api/evaluations", "/api/duels/abc"):
            for body, what in ((b"", "body is missing"), (b"{", "is not valid JSON"), (b"[1]", "is not a JSON object")):
                answer = studio.ask("POST", path, data=body, headers=kind)
                assert answer.status_code == 422
                assert what in answer.json()["problem"]
                assert "send a JSON object" in answer.json()["problem"]
        for seed in ("x", "1.5", "", "9" * 5000):
            answer = studio.ask("GET", f"/api/noise/white?seed={seed}")
            assert (answer.status_code, answer.json()) == (422, {"problem": "seed: expected a whole number"})

    def test_an_encoded_slash_is_refused(self, studio: Server) -> None:
        """Decoded, it would split a name into two, and the request would apply to another collection."""
        for method, path in (
            ("PUT", "collections/a%2Fb/song.wav"), ("PUT", "collections/a/b%2fsong.wav"), ("DELETE", "collections/a%2Fb"),
            ("PUT", "seeds/a%2Fb.wav"), ("GET", "recordings/a%2fb.wav"), ("POST", "jobs/a%2Fstop/pause"),
            ("GET", "models/a%2Fb/card"),
        ):  # fmt: skip
            answer = studio.ask(method, f"/api/{path}", data=b"RIFF")
            assert answer.status_code == 400, path
            assert "%2F" in answer.json()["problem"]
        assert studio.ask("GET", "/api/models?x=%2F").ok
        assert not list(studio.studio.settings.folder("uploads").iterdir())

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b"3", b"[" * 60_000, b'{"a":' * 9_000, b'{"a": NaN}', b"\xff\xfe", b'"\\ud800"',
                 b'{"a":"\\ud800","b":"\\ud800"}', b'{"collection":"\\ud800","model":"\\u0000","name":"x"}',
                 b'{"minutes":1e999,"name":"x","collection":"c"}', b'{"name":{"a":[]},"collection":["x"],"model":7}'])  # fmt: skip
    def test_invalid_json_is_refused_in_one_line(
        self, studio: Server, body: bytes, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for path in ("/api/duels", "/api/trainings", "/api/evaluations", "/api/duels/abc"):
            answer = studio.ask("POST", path, data=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 422), (path, answer.status_code, answer.text)
            assert 0 < len(answer.json()["problem"] if "problem" in answer.json() else answer.json()["detail"]) < 500
        assert "Traceback" not in capfd.readouterr().err

    def test_binary_frames_are_refused_and_playback_continues(self, studio: Server) -> None:
        with studio.listen(model=MODEL) as listening:
            hello(listening)
            for data in (b"", b"\0\1", b'{"type":"more","samples":5}', b"x" * 60_000):
                listening.send(data)
                assert "text" in wait_for(listening, "refused")[0]["why"]
            assert receive_audio(listening, 9000)[0]

    def test_the_size_of_moves_is_limited(self, studio: Server) -> None:
        with studio.listen(model=MODEL) as listening:
            hello(listening)
            for move in ({"mark": "x" * 5000}, {"mark": 7}, {"return": ""}, {"set": {f"k{i}": i for i in range(2000)}},
                         {"set": {"genre": "x" * 30_000}}, {"set": {"temperature": [1] * 5000}}):  # fmt: skip
                listening.send(json.dumps({"type": "move", **move}))
                assert wait_for(listening, "refused")[0]["why"]
            assert receive_audio(listening, 9000)[0]

    def test_unexpected_errors_are_one_line_outside_and_a_traceback_in_the_log(
        self, studio: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError(f"something in {studio.studio.settings.data} broke")

        monkeypatch.setattr(app_module.recordings, "list_recordings", broken)
        answer = studio.ask("GET", "/api/recordings")
        assert answer.status_code == 500
        assert set(answer.json()) == {"problem"}
        assert str(studio.studio.settings.data) not in answer.text
        log = studio.studio.settings.data / app_module.LOG
        until(lambda: log.exists() and "something in" in log.read_text())
        assert "Traceback" not in capfd.readouterr().err

    def test_close_code_4000_discards_the_instrument_at_once(self, studio: Server) -> None:
        for code, kept in ((4000, False), (1000, True)):
            with studio.listen(model=MODEL) as listening:
                key = hello(listening)["session"]
                receive_audio(listening, 3000)
                listening.close(code)
            until(lambda: studio.studio.radio.listeners() == 0)
            assert (studio.studio.radio.find_session(key) is not None) == kept


class TestNetwork:
    def test_any_host_name_is_accepted_with_the_token(self, tmp_path: Path) -> None:
        with running(Settings(tmp_path, host="0.0.0.0", port=0, token=SECRET)) as server:
            for name in ("127.0.0.1", "localhost", "192.168.1.20", "studio.local", "[fe80::1]", "my-computer"):
                host = f"{name}:{server.port}"
                given = {"Host": host, "Origin": f"http://{host}"}
                assert server.ask("GET", "/api/models", headers=given).status_code == 403
                assert server.ask("GET", f"/?token={SECRET}", headers=given).ok
                cookie = {"Cookie": f"noizenet-token={SECRET}"}
                assert server.ask("GET", "/api/models", headers={**given, **cookie}).ok
                foreign = {"Host": host, "Origin": "http://evil.example", **cookie}
                assert server.ask("GET", "/api/models", headers=foreign).status_code == 403
            with pytest.raises(InvalidHandshake):
                connect(f"ws://127.0.0.1:{server.port}/radio?model=none", origin=server.home)  # type: ignore[arg-type]
            answer = server.ask(
                "GET",
                f"/?token={SECRET}",
                headers={"Host": f"studio.local:{server.port}", "Origin": f"http://studio.local:{server.port}"},
            )
            assert "cross-origin-opener-policy" not in answer.headers
            for address in local_addresses():
                assert requests.get(f"http://{address}:{server.port}/?token={SECRET}", timeout=20).ok

    def test_the_printed_urls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "local_addresses", lambda ipv6=False: ["10.1.2.3", "fd00::5", "127.0.0.1"])
        found = Settings(tmp_path, host="0.0.0.0", token=SECRET).addresses(8765)
        assert found == [f"http://{a}:8765/?token={SECRET}" for a in ("10.1.2.3", "[fd00::5]", "127.0.0.1")]
        assert Settings(tmp_path).addresses(80) == ["http://127.0.0.1:80/"]

    def test_https(self, tmp_path: Path) -> None:
        pair = tmp_path / "c.pem", tmp_path / "k.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", pair[0], "-keyout", pair[1]],
            check=True, capture_output=True,
        )  # fmt: skip
        given = Settings(tmp_path / "d", port=0, token=SECRET, certificate=pair[0], key=pair[1])
        with running(given) as server:
            home = f"https://localhost:{server.port}"
            assert given.addresses(1)[0].startswith("https://127.0.0.1:1/")
            with requests.Session() as session:
                session.trust_env = False  # a bundle from the environment would be used instead
                session.verify = str(pair[0])
                answer = session.get(f"{home}/?token={SECRET}", timeout=20)
                assert answer.ok
                assert "Secure" in answer.headers["set-cookie"]
                assert session.get(f"{home}/api/models", headers={"Origin": home}, timeout=20).ok
            trust = ssl.create_default_context(cafile=str(pair[0]))
            with connect(
                f"wss://localhost:{server.port}/radio?model={MODEL}", origin=home, ssl=trust,  # type: ignore[arg-type]
                additional_headers={"Cookie": f"noizenet-token={SECRET}"},
            ) as listening:  # fmt: skip
                assert hello(listening)["type"] == "hello"
                assert receive_audio(listening, 5000)[0]

    def test_invalid_certificates_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.pem").write_text("no certificate")
        with pytest.raises(UsageError, match="both"):
            Settings(tmp_path, certificate=tmp_path / "x.pem")
        with pytest.raises(UsageError, match="no such file"):
            Settings(tmp_path, certificate=tmp_path / "x.pem", key=tmp_path / "y.pem")
        with pytest.raises(NoizenetError, match="PEM"):
            uvicorn_config(None, Settings(tmp_path / "d", certificate=tmp_path / "x.pem", key=tmp_path / "x.pem"))
