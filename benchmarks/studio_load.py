"""Load test of the studio with several listeners: gaps, latency of controls, first sound, memory.

    python benchmarks/studio_load.py [--listeners 8] [--minutes 10] [--buffer 0.2] [--model token-lstm]

Starts the studio like a user and listens over its WebSocket like the page: each listener keeps `buffer` seconds
buffered, plays in real time, and counts buffer underruns. One more client requests samples and never reads, and one
connects and disconnects repeatedly. The latency of a control is the number of samples received after the control until
the first that differs from a listener's without it, plus the buffer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import psutil
from websockets.asyncio.client import connect

BLOCK_S = 0.02


class Listener:
    """A client that plays in real time and counts gaps."""

    def __init__(self, url: str, model: str, seed: int, buffer: float) -> None:
        self.url, self.model, self.seed, self.buffer = url, model, seed, buffer
        self.gaps, self.received, self.first = 0, 0, 0.0

    async def run(self, seconds: float) -> None:
        """Listen for `seconds`."""
        address = f"{self.url.replace('http', 'ws')}radio?model={self.model}&seed={self.seed}"
        begun = time.perf_counter()
        async with connect(address, origin=self.url.rstrip("/"), max_size=None) as socket:
            hello = json.loads(await socket.recv())
            rate, requested, start = hello["sample_rate"], 0, None
            reading = asyncio.create_task(self._read(socket))
            while start is None or time.perf_counter() - start < seconds:
                played = 0 if start is None else round((time.perf_counter() - start) * rate)
                requested = max(requested, self.received)
                missing = played + round(self.buffer * rate) - requested
                if missing > BLOCK_S * rate:
                    requested += missing
                    await socket.send(json.dumps({"type": "more", "samples": missing}))
                if start is None and self.received >= 0.15 * rate:
                    start = time.perf_counter()
                    self.first = start - begun
                elif start is not None and played > self.received:
                    self.gaps += 1
                    start += (played - self.received) / rate  # buffer underrun: playback waits
                await asyncio.sleep(BLOCK_S)
            reading.cancel()

    async def _read(self, socket: object) -> None:
        async for message in socket:  # type: ignore[attr-defined]
            if isinstance(message, bytes):
                self.received += len(message) // 2


async def non_reading_client(url: str, model: str) -> None:
    """Request many samples and never read."""
    async with connect(
        f"{url.replace('http', 'ws')}radio?model={model}", origin=url.rstrip("/"), max_queue=1
    ) as socket:
        for _ in range(100):
            await socket.send(json.dumps({"type": "more", "samples": 10**9}))
        await asyncio.sleep(3600)


async def reconnecting_client(url: str, model: str) -> None:
    """Connect, listen for a second and disconnect, repeatedly."""
    while True:
        await Listener(url, model, 99, 0.2).run(1.0)
        await asyncio.sleep(4)


async def delay(url: str, model: str, buffer: float) -> float:
    """Return the seconds from a control to the first sample that it changes, buffer included."""
    found = []
    for seed in range(5):
        given, parts = [], []
        for changed in (False, True):
            address = f"{url.replace('http', 'ws')}radio?model={model}&seed={seed}"
            async with connect(address, origin=url.rstrip("/"), max_size=None) as socket:
                rate, sound, at = json.loads(await socket.recv())["sample_rate"], b"", 0
                await socket.send(json.dumps({"type": "more", "samples": 2 * rate}))
                while len(sound) < 8 * rate:
                    message = await socket.recv()
                    if isinstance(message, bytes):
                        sound += message
                        if changed and not at and len(sound) >= 2 * rate:
                            at = len(sound) // 2
                            await socket.send(json.dumps({"type": "move", "set": {"temperature": 3.0}}))
                        if len(sound) >= 2 * rate:
                            await socket.send(json.dumps({"type": "more", "samples": 2000}))
                    elif '"moved"' in message:
                        at = json.loads(message)["given"]
                given.append(at)
                parts.append(np.frombuffer(sound, "<i2"))
        n = min(map(len, parts))
        different = np.flatnonzero(parts[0][:n] != parts[1][:n])
        if len(different):
            found.append((different[0] - given[1]) / rate)
    return buffer + statistics.median(found)


async def measure(url: str, pid: int, o: argparse.Namespace) -> None:
    control = await delay(url, o.model, o.buffer)
    warm = Listener(url, o.model, 0, o.buffer)
    await warm.run(1.0)
    listeners = [Listener(url, o.model, i, o.buffer) for i in range(o.listeners)]
    process, memory = psutil.Process(pid), []
    process.cpu_percent()

    async def watch() -> None:
        while True:
            await asyncio.sleep(10)
            memory.append(process.memory_info().rss / 1e6)

    others = [
        asyncio.create_task(t) for t in (non_reading_client(url, o.model), reconnecting_client(url, o.model), watch())
    ]
    await asyncio.gather(*(one.run(60 * o.minutes) for one in listeners))
    used = process.cpu_percent()
    for task in others:
        task.cancel()
    gaps = [one.gaps for one in listeners]
    print(f"{o.listeners} listeners, {o.minutes:g} minutes, {1000 * o.buffer:.0f} ms buffer")
    print(f"gaps: {sum(gaps)} ({', '.join(map(str, gaps))})")
    print(
        f"first sound on a warm server: {warm.first:.2f} s alone, "
        f"{max(one.first for one in listeners):.2f} s in parallel"
    )
    print(f"a control takes effect after {control:.2f} s (median of 5, buffer included)")
    half = len(memory) // 2
    if half:
        early, late = statistics.median(memory[:half]), statistics.median(memory[half:])
        print(
            f"memory: {early:.0f} MB in the first half, {late:.0f} MB in the second; processor {used:.0f} % of one core"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listeners", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--buffer", type=float, default=0.2)
    parser.add_argument("--model", default="token-lstm")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        studio = subprocess.Popen(
            [sys.executable, "-c", "from noizenet.cli.main import run; run()", "studio", "--port", "0", "--data", data],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            assert studio.stdout is not None
            url = re.search(r"http://\S+/", studio.stdout.readline())
            assert url is not None
            time.sleep(8)  # warm-up
            asyncio.run(measure(url[0], studio.pid, o))
        finally:
            studio.terminate()
            studio.wait(20)


if __name__ == "__main__":
    main()
