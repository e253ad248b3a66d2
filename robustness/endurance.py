"""Run the player and the studio at the same time for a long time; measure memory and gaps.

The output of ``noizenet play --out -`` is read at the rate of a sound card. A scripted browser uses the studio; without
Chromium, a WebSocket client sends the same messages as the page. Gaps are counted by the receiver.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from robustness import material, workers
from robustness.fuzz_studio import Studio

BUFFER_S = 1.0
"""Length of the receiver's buffer, as of a sound card."""
WARM_UP_MINUTES, MAX_GROWTH_MB = 10.0, 20.0
SAMPLE_EVERY_S = 5.0
MODEL = "token-lstm"


def run(minutes: float, seed: int = 0) -> dict[str, Any]:
    """Play and use the studio for some minutes; return gaps and memory."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as scratch:
        studio = Studio(Path(scratch) / "data")
        player = subprocess.Popen(
            material.command("play", MODEL, "--out", "-", "--seed", seed), stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=material.environment(),
        )  # fmt: skip
        reader = _PcmReader(player, stop)
        visitor, visitor_name = _visitor(studio, stop, seed)
        threads = [threading.Thread(target=reader.run, daemon=True), threading.Thread(target=visitor.run, daemon=True)]
        memory: list[tuple[float, float, float]] = []
        load: list[float] = []
        started = time.monotonic()
        try:
            for thread in threads:
                thread.start()
            while time.monotonic() - started < 60 * minutes:
                time.sleep(SAMPLE_EVERY_S)
                now = time.monotonic() - started
                memory.append((now, workers.resident(player.pid) / 1e6, workers.resident(studio.process.pid) / 1e6))
                load.append(os.getloadavg()[0])
            stop.set()
            for thread in threads:
                thread.join(60)
            output = studio.output()
        finally:
            stop.set()
            player.kill()
            player.wait()
            studio.close()
    table = np.array(memory)
    found: dict[str, Any] = {
        "minutes": minutes, "visitor": visitor_name, "load": round(float(np.mean(load)), 1), "played_s": round(reader.seconds),
        "play_gaps": reader.gaps, "visits": visitor.visits, "studio_gaps": visitor.gaps, "problems": visitor.problems[:10],
    }  # fmt: skip
    for k, name in ((1, "play"), (2, "studio")):
        found |= {f"{name}_{key}": value for key, value in growth(table[:, 0], table[:, k]).items()}
    found["faults"] = len(visitor.problems) + output.count("Traceback")
    warm = minutes > WARM_UP_MINUTES
    found["faults"] += sum(warm and found[f"{n}_growth_MB"] > MAX_GROWTH_MB for n in ("play", "studio"))
    return found


def growth(seconds: Any, megabytes: Any) -> dict[str, float]:
    """Return memory at the end, its growth after the warm-up, and its slope per hour."""
    warm = seconds >= min(60 * WARM_UP_MINUTES, seconds[-1] / 2)
    x, y = seconds[warm], megabytes[warm]
    quarter = max(1, len(y) // 4)
    slope = float(np.polyfit(x, y, 1)[0]) * 3600 if len(y) > 2 else 0.0
    return {
        "MB": round(float(y[-quarter:].mean()), 1), "growth_MB": round(float(y[-quarter:].mean() - y[:quarter].mean()), 1),
        "MB_an_hour": round(slope, 1), "most_MB": round(float(megabytes.max()), 1),
    }  # fmt: skip


class _PcmReader:
    """Reads 16-bit PCM in real time."""

    def __init__(self, player: subprocess.Popen[bytes], stop: threading.Event) -> None:
        self.player, self.stop, self.seconds, self.gaps = player, stop, 0.0, 0

    def run(self) -> None:
        rate, channels = _format()
        assert self.player.stdout is not None
        pipe = self.player.stdout.fileno()
        buffered, start = 0.0, None
        while not self.stop.is_set():
            played = 0.0 if start is None else time.monotonic() - start
            if buffered - played < BUFFER_S and select.select([pipe], [], [], 0.05)[0]:
                data = os.read(pipe, 4096)
                if not data:
                    self.gaps += 1
                    return
                buffered += len(data) / (2 * rate * channels)
                continue
            if start is None:
                if buffered >= BUFFER_S:
                    start = time.monotonic()
                continue
            if buffered < played:  # buffer underrun: playback waits
                self.gaps += 1
                start += played - buffered + BUFFER_S / 2
            self.seconds = buffered
            time.sleep(0.01)


def _format() -> tuple[int, int]:
    code = f"from noizenet.api import load_model; m = load_model({MODEL!r}).representation; print(m.sample_rate, m.channels)"
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=material.environment(), check=True
    )
    rate, channels = done.stdout.split()
    return int(rate), int(channels)


def _visitor(studio: Studio, stop: threading.Event, seed: int) -> tuple[Any, str]:
    chromium = shutil.which("chromium")
    with contextlib.suppress(ImportError):
        import playwright.sync_api  # noqa: F401

        if chromium:
            return _Browser(studio, stop, seed, chromium), "Chromium"
    return _Listener(studio, stop, seed), "a WebSocket listener"


class _Browser:
    """Opens the page, plays, moves sliders and closes the page."""

    def __init__(self, studio: Studio, stop: threading.Event, seed: int, chromium: str) -> None:
        self.studio, self.stop, self.rng, self.chromium = studio, stop, random.Random(seed), chromium
        self.visits, self.gaps, self.problems = 0, None, list[str]()  # the page plays, so gaps cannot be counted here

    def run(self) -> None:
        from playwright.sync_api import Error, sync_playwright

        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]  # fmt: skip
        with sync_playwright() as tool:
            browser = tool.chromium.launch(executable_path=self.chromium, args=flags)
            while not self.stop.is_set():
                try:
                    self._visit(browser)
                except (Error, AssertionError) as error:
                    self.problems.append(f"{type(error).__name__}: {error}"[:300])
                    self.stop.wait(5)
            browser.close()

    def _visit(self, browser: Any) -> None:
        page = browser.new_page()
        page.on("pageerror", lambda e: self.problems.append(f"page: {e}"[:300]))
        page.goto(f"http://127.0.0.1:{self.studio.port}/")
        self.visits += 1
        self._until(page, "document.querySelectorAll('#model option').length")
        page.click("#play")
        self._until(page, "document.getElementById('status').textContent == 'playing'")
        for _ in range(self.rng.choice((5, 10, 20))):
            if self.stop.is_set():
                break
            page.wait_for_timeout(1500)
            sliders = page.locator("input[type=range]:visible")
            if sliders.count():
                slider = sliders.nth(self.rng.randrange(sliders.count()))
                slider.evaluate(
                    "(e, x) => { e.value = +e.min + x * (e.max - e.min); e.dispatchEvent(new Event('input', {bubbles: true}));"
                    " e.dispatchEvent(new Event('change', {bubbles: true})); }",
                    self.rng.random(),
                )
        page.close()

    @staticmethod
    def _until(page: Any, expression: str, limit: float = 180.0) -> None:
        started = time.monotonic()
        while not page.evaluate(expression):
            assert time.monotonic() - started < limit, f"{expression} did not come true in {limit:g} s"
            page.wait_for_timeout(100)


class _Listener:
    """A WebSocket client that sends the same messages as the page."""

    def __init__(self, studio: Studio, stop: threading.Event, seed: int) -> None:
        self.studio, self.stop, self.rng = studio, stop, random.Random(seed)
        self.visits, self.gaps, self.problems = 0, 0, list[str]()

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        from websockets.asyncio.client import connect

        host = f"127.0.0.1:{self.studio.port}"
        while not self.stop.is_set():
            self.visits += 1
            address = f"ws://{host}/radio?model={MODEL}&seed={self.rng.randrange(1000)}"
            async with connect(address, origin=f"http://{host}", max_size=None) as connection:  # type: ignore[arg-type]
                rate = json.loads(await connection.recv())["sample_rate"]
                for _ in range(self.rng.choice((5, 20, 60))):
                    await connection.send(json.dumps({"type": "more", "samples": rate // 2}))
                    data = 0
                    started = time.monotonic()
                    while data < rate // 2 and time.monotonic() - started < 20:
                        message = await asyncio.wait_for(connection.recv(), 20)
                        data += len(message) // 2 if isinstance(message, bytes) else 0
                    took = time.monotonic() - started
                    self.gaps += took > 1.0
                    if self.rng.random() < 0.3:
                        move = {"type": "move", "set": {"temperature": round(self.rng.uniform(0.7, 1.3), 2)}}
                        await connection.send(json.dumps(move))
                    await asyncio.sleep(max(0.0, 0.5 - took))
                    if self.stop.is_set():
                        break
