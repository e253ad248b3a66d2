"""A page in Debian's Chromium, for tests in a browser."""

from __future__ import annotations

import re
import shutil
import time

import numpy as np

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip


class Visit:
    """A page, with its console messages, requests and received WebSocket frames."""

    def __init__(self, browser: object, home: str, path: str = "/", width: int = 1200, height: int = 900) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height})  # type: ignore[attr-defined]
        self.problems: list[str] = []
        self.sockets: list[list[bytes | str]] = []
        self.requested: list[str] = []
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.problems.append(str(e)))
        self.page.on("request", lambda r: self.requested.append(r.url))
        self.page.on("websocket", self._socket)
        self.page.goto(home + path)

    def _socket(self, socket: object) -> None:
        frames: list[bytes | str] = []
        self.sockets.append(frames)
        socket.on("framereceived", lambda m: frames.append(m))  # type: ignore[attr-defined]

    def until(self, expression: str, limit: float = 60.0) -> object:
        """Wait until an expression is true; the page's security policy blocks Playwright's own method."""
        begun = time.monotonic()
        while not (value := self.page.evaluate(expression)):
            assert time.monotonic() - begun < limit, f"{expression}; console: {self.problems}"
            self.page.wait_for_timeout(50)
        return value

    def text(self, key: str) -> str:
        return str(self.page.evaluate(f"document.getElementById('{key}').textContent"))

    def play(self) -> None:
        self.until("document.querySelectorAll('#model option').length")
        self.page.click("#play")
        self.until("document.getElementById('status').textContent == 'playing'")

    def sound(self, which: int = -1) -> np.ndarray:
        frames = self.sockets[which] if self.sockets else []
        return np.frombuffer(b"".join(m for m in frames if isinstance(m, bytes)), "<i2")

    def wait_for_audio(self, samples: int, which: int = -1) -> np.ndarray:
        begun = time.monotonic()
        while len(self.sound(which)) < samples:
            assert time.monotonic() - begun < 60, f"no audio; console: {self.problems}"
            self.page.wait_for_timeout(50)
        return self.sound(which)

    def close(self, *, quiet: bool = True) -> None:
        self.page.close()
        if quiet:
            assert self.problems == [], self.problems


def try_figures(visit: Visit, selector: str, names: tuple[str, ...] = ("perceptron", "descent", "gates")) -> None:
    """Drag, slide and press keys; the status text of each figure must change."""
    for name in names:
        TRIES[name](visit, selector.format(name))


def status_text(visit: Visit, root: str) -> str:
    return str(visit.page.inner_text(f"{root} .live-status"))


def _try_perceptron(visit: Visit, root: str) -> None:
    page = visit.page
    page.click(f"{root} >> text=learn 100 epochs")
    assert "now 0 of 8 wrong" in status_text(visit, root)
    page.click(f"{root} >> text=either … or")
    page.click(f"{root} >> text=learn 100 epochs")
    assert status_text(visit, root).startswith("No line found")
    page.click(f"{root} >> text=two clouds")
    page.focus(f"{root} circle")
    before = page.get_attribute(f"{root} circle", "cx")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute(f"{root} circle", "cx") != before
    dot = page.locator(f"{root} circle").nth(3)
    dot.evaluate("e => e.closest('svg').scrollIntoView({block: 'center', behavior: 'instant'})")
    page.wait_for_timeout(300)
    box = dot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 40, steps=4)
    page.mouse.up()
    moved = dot.bounding_box()
    assert moved is not None
    assert abs(moved["x"] - box["x"]) > 20


def _try_descent(visit: Visit, root: str) -> None:
    page = visit.page
    assert "a local minimum" in status_text(visit, root)
    page.locator(f"{root} input[type=range]").nth(0).fill("2.9")
    assert "a local minimum" not in status_text(visit, root)
    page.select_option(f"{root} select", "Adam")
    page.locator(f"{root} input[type=range]").nth(0).fill("0.3")
    assert "a local minimum" in status_text(visit, root)
    page.focus(f"{root} canvas")
    before_text = status_text(visit, root)
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert status_text(visit, root) != before_text


def _try_gates(visit: Visit, root: str) -> None:
    page = visit.page
    page.focus(f"{root} canvas")
    for _ in range(3):
        page.keyboard.press("PageDown")
    assert re.match(r"1\.\d\d s, unit", status_text(visit, root))
    page.locator(f"{root} input[type=range]").fill("5")
    page.keyboard.press("Home")
    page.click(f"{root} >> text=play")
    visit.page.wait_for_timeout(1200)
    playing = status_text(visit, root)
    visit.page.wait_for_timeout(400)
    assert status_text(visit, root) != playing


TRIES = {"perceptron": _try_perceptron, "descent": _try_descent, "gates": _try_gates}
