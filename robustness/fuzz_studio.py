"""Fuzz a real studio on 127.0.0.1 with malformed requests, JSON bodies and WebSocket frames."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robustness import material, mutations, sounds, workers
from robustness.workers import MAX_BYTES, MAX_SECONDS, Outcome

POSTS = (
    "/api/trainings", "/api/evaluations", "/api/duels", "/api/duels/{key}", "/api/jobs/{key}/pause",
    "/api/jobs/{key}/forget", "/api/recordings/{key}/again",
)  # fmt: skip
GETS = (
    "/", "/api/state", "/api/models", "/api/models/{key}/card", "/api/models/{key}/gates.json", "/api/recordings",
    "/api/recordings/{key}", "/api/collections", "/api/recipes", "/api/jobs", "/api/jobs/{key}/log",
    "/api/jobs/{key}/report", "/api/jobs/{key}/samples/{key}", "/api/duels", "/api/duels/{key}/{key}",
    "/api/noise/{key}?seed={key}", "/live/{key}", "/{key}",
)  # fmt: skip
PUTS = ("/api/collections/{key}/{key}?genre={key}", "/api/seeds/{key}")
KEYS = (
    "x", "sample", "..", "../..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%00", "%FF%FE", "𝄞" * 76, "a" * 300, "CON",
    "x.wav", "ü.flac", "a\u0301.mp3", " ", ".", "%0d%0aX: y", "-1", "1e9", "99999999999999999999", "nan", "pink", "white",
)  # fmt: skip
JOB_FIELDS = {"collection": "x", "name": "y", "recipe": "token-lstm", "minutes": 10, "seed": 0, "model": "sample",
        "streams": 12, "seconds": 1, "a": "sample", "b": "sample", "choice": "first", "genre": None}  # fmt: skip
FRAMES: tuple[dict[str, Any], ...] = (
    {"type": "more", "samples": 2000}, {"type": "move", "set": {"temperature": 1.0, "genre": "blues", "top_p": 0.9}},
    {"type": "move", "set": {"tempo": 120}}, {"type": "move", "back": 1}, {"type": "move", "mark": "a"},
    {"type": "move", "go": 0}, {"type": "move", "press": 0.5}, {"type": "record", "on": True, "format": "flac"},
    {"type": "record", "on": False},
)  # fmt: skip


class Studio:
    """A studio that runs as a command, with its output."""

    def __init__(self, data: Path) -> None:
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed by close()
        self.data, self.port = data, free_port()
        self.process = subprocess.Popen(
            material.command("studio", "--data", data, "--port", self.port), stdout=self.log, stderr=self.log,
            env=material.environment(),
        )  # fmt: skip
        started = time.monotonic()
        while not self.is_responding():
            if self.process.poll() is not None or time.monotonic() - started > 120:
                raise RuntimeError(f"the studio did not start: {self.output()[-2000:]}")
            time.sleep(0.2)

    def is_responding(self) -> bool:
        """Return whether it responds to a request."""
        import requests

        with contextlib.suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{self.port}/api/state", timeout=MAX_SECONDS).status_code == 200
        return False

    def output(self) -> str:
        """Return its output so far."""
        self.log.seek(0)
        return self.log.read()

    def close(self) -> None:
        """Terminate it."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        self.process.kill()
        self.process.wait()
        self.log.close()


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        return int(connection.getsockname()[1])


def outcomes(fixtures: Path, count: int, seed: int) -> Iterator[Outcome]:
    """Send `count` requests; yield the outcome of each."""
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as scratch:
        data = Path(scratch) / "data"
        (data / "corpora").mkdir(parents=True)  # marks the folder as a studio's
        shutil.copytree(fixtures / "sample", data / "models" / "sample")
        (data / "models" / "sample" / "resume.safetensors").unlink(missing_ok=True)
        studio = Studio(data)
        try:
            reported = 0
            for index in range(count):
                rng = random.Random(f"{seed} studio {index}")
                task = {"what": "studio", "seed": seed, "index": index}
                started = time.monotonic()
                kind, text = CASES[index % len(CASES)](studio, rng)
                took = time.monotonic() - started
                memory = workers.resident(studio.process.pid)
                output = studio.output()
                if "Traceback" in output[reported:]:
                    kind, text = "traceback", _describe_traceback(output[reported:])
                elif memory > MAX_BYTES:
                    kind, text = "memory", f"{memory / 1e6:.0f} MB"
                elif studio.process.poll() is not None:
                    kind, text = "crash", f"exit code {studio.process.returncode}"
                reported = len(output)
                yield Outcome(task, kind, text, took, memory)
                if studio.process.poll() is not None:
                    studio.close()
                    studio, reported = Studio(data), 0
            if not studio.is_responding():
                yield Outcome({"what": "studio"}, "hang", "the studio does not respond at the end")
            left = [p.name for p in data.rglob("*.part*")]
            if left:
                yield Outcome({"what": "studio"}, "leftover", ", ".join(left[:5]))
        finally:
            studio.close()


def _describe_traceback(text: str) -> str:
    lines = [x for x in text.splitlines() if x.strip()]
    locations = [x.strip() for x in lines if x.lstrip().startswith("File") and "noizenet" in x]
    return f"{lines[-1][:200]} {re.sub(r'.*/', '', locations[-1]) if locations else ''}"


def _path(rng: random.Random, shape: str) -> str:
    while "{key}" in shape:
        shape = shape.replace("{key}", rng.choice(KEYS), 1)
    return shape


def _request(
    studio: Studio, rng: random.Random, method: str, path: str, body: bytes | None = None, kind: str = ""
) -> tuple[str, str]:
    import requests

    headers = {"Origin": f"http://127.0.0.1:{studio.port}"} | ({"Content-Type": kind} if kind else {})
    try:
        response = requests.request(
            method, f"http://127.0.0.1:{studio.port}{path}", data=body, headers=headers, timeout=MAX_SECONDS
        )
    except requests.Timeout:
        return "hang", f"{method} {path[:80]}"
    except (requests.RequestException, UnicodeError) as error:
        return "refused", type(error).__name__
    if response.status_code >= 500:
        return "traceback", f"{method} {path[:60]} returned {response.status_code}: {response.text[:150]}"
    if response.status_code >= 400 and str(studio.data) in response.text:
        return "traceback", f"{method} {path[:60]} reveals a local path: {response.text[:150]}"
    return ("fine" if response.ok else "refused"), f"{response.status_code}"


def _json(studio: Studio, rng: random.Random) -> tuple[str, str]:
    what = rng.random()
    if what < 0.6:
        body = json.dumps(mutations.change_tree(rng, JOB_FIELDS)).encode("utf-8", "surrogatepass")
    elif what < 0.7:
        body = b"[" * rng.choice((10, 10_000, 60_000))
    elif what < 0.8:
        body = b'{"a": "' + b"x" * rng.choice((1_000, 1_000_000, 20_000_000)) + b'"}'
    else:
        body = mutations.apply(
            json.dumps(JOB_FIELDS).encode(), [["flip", [[rng.randrange(200), rng.randrange(8)] for _ in range(5)]]], {}
        )
    return _request(
        studio, rng, "POST", _path(rng, rng.choice(POSTS)), body, rng.choice(("application/json", "text/plain", "x"))
    )


def _get(studio: Studio, rng: random.Random) -> tuple[str, str]:
    return _request(
        studio, rng, rng.choice(("GET", "GET", "GET", "DELETE", "HEAD", "PATCH")), _path(rng, rng.choice(GETS))
    )


def _put(studio: Studio, rng: random.Random) -> tuple[str, str]:
    kind = sounds.FORMATS[rng.choice(("wav-16", "flac"))]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"x{kind.suffix}"
        sounds.write(path, kind, sounds.music(0.5, 8_000, 1), 8_000)
        good = path.read_bytes()
    body = mutations.apply(good, mutations.draw(rng, ["own"], len(good)), {"own": good}) if rng.random() < 0.8 else good
    return _request(studio, rng, "PUT", _path(rng, rng.choice(PUTS)), body)


def _raw(studio: Studio, rng: random.Random) -> tuple[str, str]:
    """Send invalid bytes, an incomplete request or an interrupted upload."""
    request = (
        f"PUT /api/collections/x/y.wav HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\n"
        f"Origin: http://127.0.0.1:{studio.port}\r\nContent-Length: 100000\r\n\r\n"
    ).encode() + b"RIFF" * 100
    operations = [o for o in mutations.draw(rng, ["own"], len(request)) if o[0] not in ("join", "splice")]
    data = request if rng.random() < 0.3 else mutations.apply(request, operations, {"own": request})
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", studio.port), timeout=5) as connection:
        connection.sendall(data)
        connection.settimeout(0.05)
        connection.recv(1000)
    return "fine", ""


def _frames(studio: Studio, rng: random.Random) -> tuple[str, str]:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    query = rng.choice(("model=sample", "model=sample&seed=3", f"model={rng.choice(KEYS)}", "model=sample&seed=x",
                        "model=sample&song=..%2Fx", "model=sample&noise=pink", "session=1-x", "model=sample&genre=zz"))  # fmt: skip
    host = f"127.0.0.1:{studio.port}"
    try:
        with connect(
            f"ws://{host}/radio?{query}", origin=f"http://{host}", open_timeout=MAX_SECONDS, close_timeout=2
        ) as connection:  # type: ignore[arg-type]
            for _ in range(rng.choice((1, 5, 20))):
                connection.send(_frame(rng))
            connection.send(json.dumps({"type": "more", "samples": 500}))
            started = time.monotonic()
            while time.monotonic() - started < 0.3:
                with contextlib.suppress(TimeoutError):
                    connection.recv(timeout=0.1)
    except TimeoutError:
        return "hang", f"/radio?{query[:60]}"
    except (WebSocketException, OSError, ValueError, UnicodeError) as error:
        return "refused", type(error).__name__
    return "fine", ""


def _frame(rng: random.Random) -> str | bytes:
    what = rng.random()
    if what < 0.55:
        text = json.dumps(mutations.change_tree(rng, rng.choice(FRAMES)))
    elif what < 0.7:
        text = json.dumps(rng.choice(FRAMES))
    elif what < 0.8:
        return rng.randbytes(rng.choice((0, 1, 100, 10_000)))
    elif what < 0.9:
        text = rng.choice(("[", "{", '"', "[" * 5_000, "null", "1", "{}", "[]", "x" * 70_000))
    else:
        text = mutations.apply(
            json.dumps(rng.choice(FRAMES)).encode(), [["set", [[rng.randrange(40), rng.randrange(32, 127)]]]], {}
        ).decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode("utf-8")


CASES = (_json, _get, _frames, _put, _frames, _raw)
