"""Memory of the studio during an hour of one user's mixed use, in fast motion.

    python benchmarks/studio_memory.py [--minutes 10] [--models 5] [--training] [--out memory.json]

Starts the studio like a user and repeats a round: listen to a model, change its controls, mark and restore, record,
regenerate the recording, upload a song as a prompt, display the gates, and run an A/B test of two models. Each round
uses another model. One round is about three minutes of a user's time. With ``--training`` every fifth round includes a
short training, which is then evaluated.

The resident memory of the studio's process (without its jobs) is read after each round; the results are JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
import soundfile
from websockets.sync.client import connect

from noizenet.base.bundled import bundled

RATE = 22_050
PERSON_MINUTES = 3.0
"""Minutes that a user needs for a round."""


class Visitor:
    """A minimal client that acts as one user's browser."""

    def __init__(self, url: str) -> None:
        self.url = url

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request like the page; an error response ends the benchmark."""
        response = requests.request(method, self.url + path, headers={"Origin": self.url}, timeout=300, **options)
        response.raise_for_status()
        return response

    def listen(self, seconds: float, moves: list[dict[str, Any]], **options: object) -> list[dict[str, Any]]:
        """Receive `seconds` of audio, with control messages in between; return the server's messages."""
        query = "&".join(f"{k}={requests.utils.quote(str(v))}" for k, v in options.items())
        replies: list[dict[str, Any]] = []
        address = f"{self.url.replace('http', 'ws')}/radio?{query}"
        with connect(address, origin=self.url, max_size=None) as socket:  # type: ignore[arg-type]
            received, rate, channels, remaining, requested = 0, RATE, 1, list(moves), 0
            while received < seconds * rate or remaining:
                if received >= requested:
                    if remaining:
                        socket.send(json.dumps(remaining.pop(0)))
                    requested = received + rate // 2
                    socket.send(json.dumps({"type": "more", "samples": rate // 2}))
                message = socket.recv(timeout=120)
                if isinstance(message, bytes):
                    received += len(message) // (2 * channels)
                    continue
                replies.append(json.loads(message))
                if replies[-1]["type"] == "impossible":
                    raise SystemExit(replies[-1]["why"])
                if replies[-1]["type"] == "hello":
                    rate, channels = replies[-1]["sample_rate"], replies[-1]["channels"]
            socket.close(4000)  # like a page that is closed
        return replies


def tune(seconds: float, seed: int) -> bytes:
    """Return the bytes of a wav file with a tone."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 220 * 2 ** (seed % 12 / 12) * t) * (1 + np.sin(2 * np.pi * 2 * t)) / 2
    file = io.BytesIO()
    soundfile.write(file, sound.astype(np.float32), RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def one_round(visitor: Visitor, names: list[str], number: int, training: bool) -> None:
    """Run one round of a user's actions."""
    name, other = names[number % len(names)], names[(number + 1) % len(names)]
    moves: list[dict[str, Any]] = [
        {"type": "record", "on": True, "format": "flac" if number % 2 else "wav"},
        {"type": "move", "set": {"temperature": 0.9}}, {"type": "move", "mark": "one"},
        {"type": "move", "surprise": True}, {"type": "move", "mark": "two"}, {"type": "move", "return": "one"},
        *({"type": "move", "mark": f"more {i}"} for i in range(16)), {"type": "record", "on": False},
    ]  # fmt: skip
    replies = visitor.listen(20.0, moves, model=name, seed=number)
    recordings = [m["name"] for m in replies if m["type"] == "recorded"]
    visitor.request("GET", "/api/recordings")
    for recording in recordings:
        visitor.request("POST", f"/api/recordings/{recording}/again")
        visitor.request("DELETE", f"/api/recordings/{recording}")
    song = visitor.request("PUT", f"/api/seeds/tune{number}.wav", data=tune(30.0, number)).json()["song"]
    visitor.listen(5.0, [], model=name, song=song)
    visitor.listen(3.0, [], model=other, noise="perlin")
    visitor.request("GET", f"/api/models/{name}/gates.json")
    visitor.request("GET", f"/api/models/{name}/gates.ogg")
    key = visitor.request("POST", "/api/duels", json={"a": name, "b": other}).json()["key"]
    for side in ("first", "second"):
        visitor.request("GET", f"/api/duels/{key}/{side}")
    visitor.request("POST", f"/api/duels/{key}", json={"choice": "alike"})
    for path in ("/api/models", "/api/state", "/api/jobs", "/api/collections", "/api/noise/normal", "/", "/radio.js"):
        visitor.request("GET", path)
    if training and number % 5 == 0:
        for i in range(3):
            visitor.request("PUT", f"/api/collections/tunes{number}/{i}.wav", data=tune(20.0, i))
        options = {"collection": f"tunes{number}", "name": f"tuned {number}", "recipe": "paper-lstm", "minutes": 0.3}
        visitor.request("POST", "/api/trainings", json=options)


def evaluate_finished_trainings(visitor: Visitor, evaluated: set[str]) -> None:
    """Evaluate each finished training once."""
    for job in visitor.request("GET", "/api/jobs").json():
        if job["kind"] == "train" and job["state"] == "done" and job["key"] not in evaluated:
            evaluated.add(job["key"])
            about = job["about"]
            options = {"model": about["name"], "collection": about["collection"], "streams": 2, "seconds": 8,
                    "embedding": "crafted"}  # fmt: skip
            visitor.request("POST", "/api/evaluations", json=options)


def measure(url: str, pid: int, names: list[str], o: argparse.Namespace) -> dict[str, Any]:
    """Run rounds until the time is over; return the measurements."""
    visitor, process = Visitor(url), psutil.Process(pid)
    begun, rounds, evaluated = time.monotonic(), [], set[str]()
    while time.monotonic() - begun < 60 * o.minutes and len(rounds) * PERSON_MINUTES < o.person_minutes:
        one_round(visitor, names, len(rounds), o.training)
        if o.training:
            evaluate_finished_trainings(visitor, evaluated)
        memory = process.memory_info().rss / 1e6
        rounds.append({"at_s": round(time.monotonic() - begun, 1), "mb": round(memory, 1)})
        print(f"round {len(rounds)}, {rounds[-1]['at_s']:.0f} s: {memory:.0f} MB", flush=True)
    peak = max(r["mb"] for r in rounds)
    return {"rounds": rounds, "person_minutes": PERSON_MINUTES * len(rounds), "most_mb": peak,
            "last_mb": rounds[-1]["mb"], "threads": process.num_threads(), "models": len(names),
            "training": o.training}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="end after this time")
    parser.add_argument("--person-minutes", type=float, default=60.0, help="or after this time of simulated use")
    parser.add_argument("--models", type=int, default=5, help="number of models to cycle through")
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--out", type=Path)
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        source = next(iter(bundled("models").values()))
        named = [Path(shutil.copytree(source, Path(data) / "named" / f"copy-{i}")) for i in range(1, o.models)]
        studio = subprocess.Popen(
            [sys.executable, "-c", "from noizenet.cli.main import run; run()", "studio", "--port", "0", "--data",
             str(Path(data) / "data"), *map(str, named)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            assert studio.stdout is not None
            url = re.search(r"http://\S+/", studio.stdout.readline())
            assert url is not None
            time.sleep(20)  # warm-up
            found = measure(url[0].rstrip("/"), studio.pid, [source.name, *(p.name for p in named)], o)
        finally:
            studio.terminate()
            studio.wait(20)
    print(f"most: {found['most_mb']:.0f} MB over {found['person_minutes']:.0f} minutes of simulated use")
    if o.out:
        o.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
