"""Memory of the studio during simulated mixed use by one person, faster than real time.

    python benchmarks/studio_memory.py [--minutes 10] [--models 5] [--training] [--out memory.json]

Starts the studio as a user does and repeats a round: plays a model, moves its controls, sets marks and returns to them,
records, replays the recording, uploads a song and continues it, requests the gates, and runs an A/B test of two models.
Each round uses another model. One round corresponds to about three minutes of a person's use. With ``--training``, a
short training runs in every fifth round and is evaluated.

The resident memory of the studio's own process (without its jobs) is read after each round; the results are JSON.
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
"""Minutes that a person would need for a round."""


class Visitor:
    """A minimal client of the studio."""

    def __init__(self, home: str) -> None:
        self.home = home

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request as the page does; an error status ends the benchmark."""
        response = requests.request(method, self.home + path, headers={"Origin": self.home}, timeout=300, **options)
        response.raise_for_status()
        return response

    def listen(self, seconds: float, moves: list[dict[str, Any]], **fields: object) -> list[dict[str, Any]]:
        """Receive some seconds of audio, sending moves in between; return the messages of the studio."""
        query = "&".join(f"{k}={requests.utils.quote(str(v))}" for k, v in fields.items())
        messages: list[dict[str, Any]] = []
        address = f"{self.home.replace('http', 'ws')}/radio?{query}"
        with connect(address, origin=self.home, max_size=None) as socket:  # type: ignore[arg-type]
            received, rate, channels, pending, requested = 0, RATE, 1, list(moves), 0
            while received < seconds * rate or pending:
                if received >= requested:
                    if pending:
                        socket.send(json.dumps(pending.pop(0)))
                    requested = received + rate // 2
                    socket.send(json.dumps({"type": "more", "samples": rate // 2}))
                message = socket.recv(timeout=120)
                if isinstance(message, bytes):
                    received += len(message) // (2 * channels)
                    continue
                messages.append(json.loads(message))
                if messages[-1]["type"] == "impossible":
                    raise SystemExit(messages[-1]["why"])
                if messages[-1]["type"] == "hello":
                    rate, channels = messages[-1]["sample_rate"], messages[-1]["channels"]
            socket.close(4000)  # the code that the page sends when it is closed for the last time
        return messages


def tune(seconds: float, seed: int) -> bytes:
    """Return a WAV file of a tone."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 220 * 2 ** (seed % 12 / 12) * t) * (1 + np.sin(2 * np.pi * 2 * t)) / 2
    file = io.BytesIO()
    soundfile.write(file, sound.astype(np.float32), RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def one_round(visitor: Visitor, names: list[str], number: int, training: bool) -> None:
    """Do one round of mixed use."""
    name, other = names[number % len(names)], names[(number + 1) % len(names)]
    moves: list[dict[str, Any]] = [
        {"type": "record", "on": True, "format": "flac" if number % 2 else "wav"},
        {"type": "move", "set": {"temperature": 0.9}}, {"type": "move", "mark": "one"},
        {"type": "move", "surprise": True}, {"type": "move", "mark": "two"}, {"type": "move", "return": "one"},
        *({"type": "move", "mark": f"more {i}"} for i in range(16)), {"type": "record", "on": False},
    ]  # fmt: skip
    messages = visitor.listen(20.0, moves, model=name, seed=number)
    kept = [m["name"] for m in messages if m["type"] == "recorded"]
    visitor.send("GET", "/api/recordings")
    for recording in kept:
        visitor.send("POST", f"/api/recordings/{recording}/again")
        visitor.send("DELETE", f"/api/recordings/{recording}")
    song = visitor.send("PUT", f"/api/seeds/tune{number}.wav", data=tune(30.0, number)).json()["song"]
    visitor.listen(5.0, [], model=name, song=song)
    visitor.listen(3.0, [], model=other, noise="perlin")
    visitor.send("GET", f"/api/models/{name}/gates.json")
    visitor.send("GET", f"/api/models/{name}/gates.ogg")
    key = visitor.send("POST", "/api/duels", json={"a": name, "b": other}).json()["key"]
    for side in ("first", "second"):
        visitor.send("GET", f"/api/duels/{key}/{side}")
    visitor.send("POST", f"/api/duels/{key}", json={"choice": "alike"})
    for path in ("/api/models", "/api/state", "/api/jobs", "/api/collections", "/api/noise/normal", "/", "/radio.js"):
        visitor.send("GET", path)
    if training and number % 5 == 0:
        for i in range(3):
            visitor.send("PUT", f"/api/collections/tunes{number}/{i}.wav", data=tune(20.0, i))
        fields = {"collection": f"tunes{number}", "name": f"tuned {number}", "recipe": "paper-lstm", "minutes": 0.3}
        visitor.send("POST", "/api/trainings", json=fields)


def evaluate_finished(visitor: Visitor, evaluated: set[str]) -> None:
    """Evaluate each finished training once."""
    for job in visitor.send("GET", "/api/jobs").json():
        if job["kind"] == "train" and job["state"] == "done" and job["key"] not in evaluated:
            evaluated.add(job["key"])
            settings = job["about"]
            fields = {"model": settings["name"], "collection": settings["collection"], "streams": 2, "seconds": 8,
                    "embedding": "crafted"}  # fmt: skip
            visitor.send("POST", "/api/evaluations", json=fields)


def measure(home: str, pid: int, names: list[str], o: argparse.Namespace) -> dict[str, Any]:
    """Repeat rounds until the time is over; return the measurements."""
    visitor, process = Visitor(home), psutil.Process(pid)
    started, rounds, evaluated = time.monotonic(), [], set[str]()
    while time.monotonic() - started < 60 * o.minutes and len(rounds) * PERSON_MINUTES < o.person_minutes:
        one_round(visitor, names, len(rounds), o.training)
        if o.training:
            evaluate_finished(visitor, evaluated)
        memory = process.memory_info().rss / 1e6
        rounds.append({"at_s": round(time.monotonic() - started, 1), "mb": round(memory, 1)})
        print(f"round {len(rounds)}, {rounds[-1]['at_s']:.0f} s: {memory:.0f} MB", flush=True)
    peak = max(r["mb"] for r in rounds)
    return {"rounds": rounds, "person_minutes": PERSON_MINUTES * len(rounds), "most_mb": peak,
            "last_mb": rounds[-1]["mb"], "threads": process.num_threads(), "models": len(names),
            "training": o.training}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="largest run time")
    parser.add_argument("--person-minutes", type=float, default=60.0, help="largest simulated time of use")
    parser.add_argument("--models", type=int, default=5, help="number of models")
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
            home = re.search(r"http://\S+/", studio.stdout.readline())
            assert home is not None
            time.sleep(20)  # warm-up
            found = measure(home[0].rstrip("/"), studio.pid, [source.name, *(p.name for p in named)], o)
        finally:
            studio.terminate()
            studio.wait(20)
    print(f"peak: {found['most_mb']:.0f} MB over {found['person_minutes']:.0f} minutes of one person's use")
    if o.out:
        o.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
