"""Commands that are started, killed and restarted: how to start each one, and which results must be equal."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from robustness import material

VARIABLE_KEYS = re.compile(
    r"seconds|time|date|pace|factor|machine|command|created|duration|memory|version|path|folder|speed|minutes|cost|rss|cpu"
)


@dataclass
class Trial:
    """A command that is killed.

    `start` starts it in a folder (`again`: after a kill); `result` returns the values that must be equal, by name.
    """

    start: Callable[[Path, bool, bool], Any]
    result: Callable[[Path], dict[str, str]]
    prepare: Callable[[Path], None] = lambda _: None
    expected: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class _Process:
    """A command in a separate process, the leader of a session."""

    def __init__(self, command: list[str]) -> None:
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed by kill()
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=material.environment(), start_new_session=True
        )

    def wait(self, limit: float) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(limit)
        return -1

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


class _Fork:
    """A command in a fork of this process, the leader of a session."""

    def __init__(self, work: Callable[[], int]) -> None:
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed by kill()
        self.pid, self.code = os.fork(), None
        if self.pid == 0:
            code = 70
            try:
                os.setsid()
                os.dup2(self.log.fileno(), 1)
                os.dup2(self.log.fileno(), 2)
                code = work()
            finally:
                with contextlib.suppress(Exception):
                    import sys

                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)

    def wait(self, limit: float) -> int:
        started = time.monotonic()
        while self.code is None and time.monotonic() - started < limit:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.02)
        return -1 if self.code is None else self.code

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def kill(self) -> None:
        for _ in range(50):  # it may not have become a leader yet
            try:
                os.killpg(self.pid, signal.SIGKILL)
                break
            except ProcessLookupError:
                if self.code is not None:
                    break
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                time.sleep(0.002)
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.log.close()


def _noizenet(arguments: list[object], separate: bool) -> Any:
    if separate:
        return _Process(material.command(*arguments))

    def work() -> int:
        from noizenet.cli.main import main

        return main([str(a) for a in arguments])

    return _Fork(work)


def _bytes(*patterns: str) -> Callable[[Path], dict[str, str]]:
    def result(folder: Path) -> dict[str, str]:
        paths = [p for pattern in patterns for p in folder.glob(pattern) if not p.name.startswith(".")]
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}

    return result


MACHINE_METRICS = ("playing", "training", "memory while playing")
"""Metrics of an evaluation that depend on the machine and differ from run to run."""


def _report_values(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            if value.get("measure") in MACHINE_METRICS:
                return
            for k, v in value.items():
                if not VARIABLE_KEYS.search(str(k)):
                    walk(v, f"{name}.{k}")
        elif isinstance(value, list):
            for k, v in enumerate(value):
                walk(v, f"{name}[{k}]")
        else:
            found[name] = f"{value:.6g}" if isinstance(value, float) else str(value)

    walk(json.loads((folder / "report" / "report.json").read_text(encoding="utf-8")), "report")
    return found


def trials(fixtures: Path, album: Path, server: Any) -> dict[str, Trial]:
    sums, address = server

    def build(folder: Path, again: bool, separate: bool) -> Any:
        return _noizenet(["corpus", "build", album, folder / "c", "--sample-rate", 8000, "--workers", 1], separate)

    def fetch(folder: Path, again: bool, separate: bool) -> Any:
        def work() -> int:
            from noizenet.corpus.fetch import fetch_fma
            from noizenet.corpus.fma import FmaSource

            FmaSource.checksums = sums  # type: ignore[misc]
            fetch_fma("fma-small", folder / "c", base_url=address, sample_rate=8000, pause_s=0.01, workers=1)
            return 0

        return _Fork(work)

    def train(folder: Path, again: bool, separate: bool) -> Any:
        arguments = material.training(
            fixtures / "corpus", folder / "m", "sample-lstm", 0.08, "training.checkpoint_seconds=0"
        )
        resume = ["--resume"] if again and (folder / "m" / "resume.safetensors").exists() else []
        return _noizenet([*arguments, *resume], separate)

    def generate(folder: Path, again: bool, separate: bool) -> Any:
        return _noizenet(["generate", fixtures / "sample", folder / "new.wav", "--seconds", 10, "--seed", 7], separate)

    def evaluate(folder: Path, again: bool, separate: bool) -> Any:
        return _noizenet(
            ["evaluate", fixtures / "sample", fixtures / "corpus", folder / "report", "--streams", 2, "--seconds", 4],
            separate,
        )

    corpus = ("c/corpus.json", "c/tracks.csv", "c/problems.csv", "c/audio/*.wav")
    return {
        "corpus build": Trial(build, _bytes(*corpus)),
        "generate": Trial(generate, _bytes("*.wav")),
        "corpus fetch": Trial(fetch, _bytes(*corpus)),
        "train": Trial(train, _bytes("m/model.safetensors")),
        "evaluate": Trial(evaluate, _report_values),
        "studio": Trial(lambda folder, again, separate: _Studio(folder, again), _bytes("ended"), _Studio.prepare),
    }


class _Studio:
    """A studio with a training in its queue; the command ends when the training is done."""

    def __init__(self, folder: Path, again: bool) -> None:
        from robustness.fuzz_studio import free_port

        self.folder, self.port, self.submit = folder, free_port(), not again
        self.running = _Process(material.command("studio", "--data", folder / "data", "--port", self.port))

    @staticmethod
    def prepare(folder: Path) -> None:
        material.album(folder / "data" / "uploads" / "album", count=4, seconds=8.0)

    def _get(self, path: str, **body: Any) -> Any:
        import requests

        address = f"http://127.0.0.1:{self.port}"
        method = "POST" if body else "GET"
        return requests.request(
            method, address + path, json=body or None, headers={"Origin": address}, timeout=20
        ).json()

    def wait(self, limit: float) -> int:
        import requests

        started = time.monotonic()
        while time.monotonic() - started < limit:
            with contextlib.suppress(requests.RequestException, ValueError):
                jobs = self._get("/api/jobs")
                if not jobs:  # killed before the training was queued
                    self._get("/api/trainings", collection="album", name="new", recipe="paper-lstm", minutes=0.05)
                elif jobs[0]["state"] == "paused":
                    self._get(f"/api/jobs/{jobs[0]['key']}/resume", wish="resume")
                elif jobs[0]["state"] == "done":
                    (self.folder / "ended").write_text(str(len(jobs)))
                    self.running.process.terminate()  # not SIGKILL: a sample may still be generated
                    self.running.process.wait(60)
                    return 0
                elif jobs[0]["state"] == "failed":
                    self.problem = jobs[0]["problem"]
                    return 1
            time.sleep(0.2)
        return -1

    problem = ""

    def output(self) -> str:
        return f"{self.problem} {self.running.output()}"

    def kill(self) -> None:
        import psutil

        jobs = []
        with contextlib.suppress(psutil.Error):
            jobs = psutil.Process(self.running.process.pid).children(recursive=True)
        self.running.kill()
        if self.folder.name[-1] in "13579":  # in every other trial the job outlives the studio
            return
        for job in jobs:
            with contextlib.suppress(psutil.Error):
                job.kill()


@contextlib.contextmanager
def archives(fixtures: Path) -> Any:
    """Serve small versions of FMA's two archives slowly, with range requests; yield their checksums and the address."""
    files: dict[str, bytes] = {}
    for name in ("fma_metadata", "fma_small"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as bundle:
            for path in sorted((fixtures / "fma" / name).rglob("*")):
                if path.is_file():
                    bundle.writestr(zipfile.ZipInfo(str(path.relative_to(fixtures / "fma"))), path.read_bytes())
        files[f"{name}.zip"] = buffer.getvalue()
    sums = {n: hashlib.sha1(d, usedforsecurity=False).hexdigest() for n, d in files.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = files[self.path.lstrip("/")]
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
            if start and start >= len(data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            with contextlib.suppress(OSError):
                for at in range(start, len(data), 8192):
                    self.wfile.write(data[at : at + 8192])
                    time.sleep(0.01)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield sums, f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        http.server_close()
