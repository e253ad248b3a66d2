"""A studio on a real port, for tests: in a thread of this process, or as the ``noizenet studio`` command."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import uvicorn
from websockets.sync.client import ClientConnection, connect

from noizenet.studio.app import create_app
from noizenet.studio.core import Studio
from noizenet.studio.server import _listen, uvicorn_config
from noizenet.studio.settings import Settings


class Server:
    """Sends requests to a studio."""

    def __init__(self, port: int, studio: Studio | None = None) -> None:
        self.port, self.studio = port, studio
        self.home = f"http://127.0.0.1:{port}"

    def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> requests.Response:
        given = {"Origin": self.home, **(headers or {})}
        return requests.request(method, self.home + path, headers=given, timeout=120, **options)

    def listen(self, **query: object) -> ClientConnection:
        query_string = "&".join(f"{k}={requests.utils.quote(str(v))}" for k, v in query.items())
        return connect(f"ws://127.0.0.1:{self.port}/radio?{query_string}", origin=self.home, max_size=None)  # type: ignore[arg-type]


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Server]:
    """Run a studio in a thread."""
    listener = _listen(settings)
    app, studio = create_app(settings)
    studio.port = listener.getsockname()[1]
    config = uvicorn_config(app, settings)
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield Server(studio.port, studio)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


@contextlib.contextmanager
def command(data: Path, port: int, *arguments: str) -> Iterator[tuple[Server, subprocess.Popen[str]]]:
    """Run the ``noizenet studio`` command."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from noizenet.cli.main import run; run()", "studio", "--data", str(data), "--port",
         str(port), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    output, found = "", None
    while found is None and (line := process.stdout.readline()):  # one URL per line, the loopback address last
        output += line
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
    assert found, output
    server = Server(int(found[1]))
    until(lambda: _answers(server))
    try:
        yield server, process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.stdout.close()
        process.wait()


def _answers(server: Server) -> bool:
    try:
        return server.ask("GET", "/api/state").status_code in (200, 403)
    except requests.ConnectionError:
        return False


def until(condition: Any, limit: float = 60.0) -> None:
    """Wait until a condition is true."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < limit, "waited too long"
        time.sleep(0.05)


def hello(socket: ClientConnection) -> dict[str, Any]:
    """Return the first message."""
    message: dict[str, Any] = json.loads(socket.recv(timeout=60))
    return message


def receive_audio(socket: ClientConnection, samples: int) -> tuple[bytes, list[dict[str, Any]]]:
    """Request samples within the limit; return at least so many as bytes, and the messages received meanwhile."""
    sound, messages, requested = b"", [], 0
    while len(sound) < 2 * samples:
        if len(sound) >= 2 * requested:
            requested = len(sound) // 2 + min(8000, samples - len(sound) // 2)
            socket.send(json.dumps({"type": "more", "samples": requested - len(sound) // 2}))
        message = socket.recv(timeout=60)
        if isinstance(message, bytes):
            sound += message
        else:
            messages.append(json.loads(message))
    return sound, messages


def wait_for(socket: ClientConnection, kind: str) -> tuple[dict[str, Any], bytes]:
    """Wait for a message of a type; return it, and the audio that came before it."""
    sound = b""
    while True:
        message = socket.recv(timeout=60)
        if isinstance(message, bytes):
            sound += message
        elif json.loads(message)["type"] == kind:
            return json.loads(message), sound
