"""Downloads from a real HTTP server that closes connections, serves wrong files, and supports ranges."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import soundfile
from conftest import tone
from test_corpus import FMA_TRACKS

from noizenet.base.errors import FetchError, UsageError
from noizenet.corpus import fetch as module
from noizenet.corpus.fetch import TRIES, fetch, fetch_fma, unpack
from noizenet.corpus.fma import FmaSource


class Server:
    """Serves files by name; the first `cuts` responses end after `cut` bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut, self.cuts, self.status, self.ranges = 0, 0, 200, True
        self.requests: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.requests.append((request.path, wanted))
        data = self.files.get(request.path.lstrip("/"))
        if data is None or self.status != 200:
            request.send_response(404 if data is None else self.status)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(data) and start:
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        body = data[start:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.cuts > 0:
            self.cuts -= 1
            request.wfile.write(body[: self.cut])
            request.wfile.flush()
            request.close_connection = True
            request.connection.shutdown(2)
        else:
            request.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    s = Server()
    yield s
    s.http.shutdown()
    s.http.server_close()


DATA = bytes(range(256)) * 4000
SHA1 = hashlib.sha1(DATA, usedforsecurity=False).hexdigest()


def get(server: Server, path: Path, sha1: str = SHA1) -> Path:
    return fetch(f"{server.url}/a.zip", path, sha1, pause_s=0.001)


def test_a_broken_download_resumes(server: Server, tmp_path: Path) -> None:
    server.files["a.zip"] = DATA
    server.cut, server.cuts = 2**18, 3
    assert get(server, tmp_path / "a.zip").read_bytes() == DATA
    assert [r for _, r in server.requests] == ["", "bytes=262144-", "bytes=524288-", "bytes=786432-"]
    get(server, tmp_path / "a.zip")
    assert len(server.requests) == 4, "a complete file is not fetched again"


def test_the_download_of_an_earlier_run_resumes(server: Server, tmp_path: Path) -> None:
    server.files["a.zip"] = DATA
    (tmp_path / "a.zip.partial").write_bytes(DATA[:1000])
    assert get(server, tmp_path / "a.zip").read_bytes() == DATA
    assert server.requests == [("/a.zip", "bytes=1000-")]
    (tmp_path / "b.zip.partial").write_bytes(DATA)  # killed between the last byte and the rename
    assert get(server, tmp_path / "b.zip").read_bytes() == DATA


def test_a_download_without_range_support_restarts(server: Server, tmp_path: Path) -> None:
    server.files["a.zip"] = DATA
    server.ranges = False
    (tmp_path / "a.zip.partial").write_bytes(b"x" * 1000)
    assert get(server, tmp_path / "a.zip").read_bytes() == DATA


def test_a_wrong_file_is_removed(server: Server, tmp_path: Path) -> None:
    server.files["a.zip"] = b"<html>maintenance</html>"
    with pytest.raises(FetchError, match="wrong content"):
        get(server, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []
    server.files["a.zip"] = DATA
    assert get(server, tmp_path / "a.zip").read_bytes() == DATA


def test_a_download_without_progress_fails(server: Server, tmp_path: Path) -> None:
    server.files["a.zip"] = DATA
    server.cut, server.cuts = 10, 1000
    with pytest.raises(FetchError, match="the download will resume"):
        get(server, tmp_path / "a.zip")
    assert len(server.requests) == TRIES


def test_repeated_interruptions_with_progress_are_retried(server: Server, tmp_path: Path) -> None:
    server.files["a.zip"] = DATA
    server.cut, server.cuts = 2**16, 3 * TRIES
    assert get(server, tmp_path / "a.zip").read_bytes() == DATA
    assert len(server.requests) > 2 * TRIES


@pytest.mark.parametrize(
    ("status", "message"), [(404, "check the address"), (403, "check the address"), (503, "HTTP status 503")]
)
def test_http_errors(server: Server, tmp_path: Path, status: int, message: str) -> None:
    server.files["a.zip"] = DATA
    server.status = status
    with pytest.raises(FetchError, match=message):
        get(server, tmp_path / "a.zip")


def test_an_unreachable_server(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="check the network"):
        fetch("http://127.0.0.1:9/a.zip", tmp_path / "a.zip", SHA1, pause_s=0.001)


def test_unsafe_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    for name in ("../evil.txt", "/etc/evil", "a/../../evil"):
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as bundle:
            bundle.writestr(name, "x")
        with pytest.raises(FetchError, match="unsafe"):
            unpack(tmp_path / "evil.zip", tmp_path)
    assert not (tmp_path.parent / "evil.txt").exists()
    (tmp_path / "evil.zip").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(FetchError, match="damaged archive"):
        unpack(tmp_path / "evil.zip", tmp_path)


def test_a_damaged_member_leaves_no_partial_file(tmp_path: Path) -> None:
    payload = bytes(range(256)) * 400
    with zipfile.ZipFile(tmp_path / "good.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("a/first.bin", payload)
        bundle.writestr("a/second.bin", payload[::-1])
        bundle.writestr("empty/", b"")
    good = bytearray((tmp_path / "good.zip").read_bytes())
    at = good.index(b"second.bin") + len("second.bin") + 20
    good[at : at + 40] = bytes(40)
    (tmp_path / "bad.zip").write_bytes(good)
    (tmp_path / "out").mkdir()
    with pytest.raises(FetchError, match="damaged archive"):
        unpack(tmp_path / "bad.zip", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["first.bin"]
    unpack(tmp_path / "good.zip", tmp_path / "out")
    assert (tmp_path / "out" / "a" / "second.bin").read_bytes() == payload[::-1]
    assert (tmp_path / "out" / "empty").is_dir()


def test_a_truncated_file_is_unpacked_again(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(make_zip({"x/a.bin": b"whole", "x/b.bin": b"there"}))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.bin").write_bytes(b"wh")
    unpack(tmp_path / "a.zip", tmp_path)
    assert (tmp_path / "x" / "a.bin").read_bytes() == b"whole"
    with pytest.raises(FetchError, match="unsafe"):
        (tmp_path / "b.zip").write_bytes(make_zip({".": b"x"}))
        unpack(tmp_path / "b.zip", tmp_path)


def make_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
    return buffer.getvalue()


def test_fetch_unpack_and_build(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metadata and audio are downloaded over a broken connection, unpacked and built; a second call downloads nothing."""

    def mp3(hz: float) -> bytes:
        buffer = io.BytesIO()
        soundfile.write(buffer, tone(2.0, 44_100, hz), 44_100, format="MP3")
        return buffer.getvalue()

    server.files["fma_metadata.zip"] = make_zip({"fma_metadata/tracks.csv": FMA_TRACKS.encode()})
    server.files["fma_small.zip"] = make_zip(
        {"fma_small/000/000002.mp3": mp3(200), "fma_small/000/000005.mp3": mp3(300), "fma_small/README.txt": b"hi"}
    )
    sums = {n: hashlib.sha1(d, usedforsecurity=False).hexdigest() for n, d in server.files.items()}
    monkeypatch.setattr(FmaSource, "checksums", sums)
    server.cut, server.cuts = 2_000, 2
    seen: list[tuple[str, int, int]] = []
    corpus = fetch_fma(
        "fma-small", tmp_path / "out", base_url=server.url, sample_rate=8000, pause_s=0.001, workers=1,
        transfer=lambda *a: seen.append(a),
    )  # fmt: skip
    assert [t.title for t in corpus.tracks] == ["Food", "This World"]
    assert corpus.about["layout"] == "fma"
    assert seen
    assert not list((tmp_path / "out" / "download").iterdir())
    count = len(server.requests)
    fetch_fma("fma-small", tmp_path / "out", base_url=server.url, sample_rate=8000, workers=1)
    assert len(server.requests) == count


def test_names_and_published_checksums() -> None:
    with pytest.raises(UsageError, match="fma-small"):
        fetch_fma("fma-tiny", "x")
    assert FmaSource.checksums["fma_small.zip"] == "ade154f733639d52e35e32f5593efe5be76c6d70"
    assert module.BASE_URL.startswith("https://")


@pytest.mark.parametrize("address", ["", "x", "ftp://a/b", "http://", "/data", "http:x"])
def test_invalid_addresses_are_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="base url"):
        fetch_fma("fma-small", tmp_path / "c", base_url=address)
    assert not (tmp_path / "c").exists()


def test_every_retry_is_logged(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.files["a.zip"] = DATA
    server.cut, server.cuts = 2**16, 3
    get(server, tmp_path / "a.zip")
    assert [r.getMessage().split("; ")[1] for r in caplog.records] == ["trying again in 0.001 s"] * 3
