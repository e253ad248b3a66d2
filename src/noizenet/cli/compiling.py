"""What a command says while loops are compiled, which is once after an installation."""

from __future__ import annotations

import contextlib
import sys
import time

from noizenet.base import compiled

EVERY_S = 2.0
"""Seconds from one line to the next: these are lines, since a progress bar may own the last one."""


def tell() -> None:
    """Have it told on standard error."""
    last: list[float] = []

    def on_progress(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if last and now - last[0] < EVERY_S:
            return
        last[:] = [now]
        _line(f"compiling {what}, once: {done} of {total} …" if total else f"compiling {what}, once: {done} done …")

    compiled.callbacks.on_progress = on_progress
    compiled.callbacks.on_wait = lambda: _line("another noizenet compiles the kernels, once; waiting for it …")
    compiled.callbacks.on_note = lambda text: _line(f"note: {text}")


def _line(text: str) -> None:
    with contextlib.suppress(OSError):  # full or gone: compiling goes on
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
