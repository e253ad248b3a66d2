"""Progress messages of the compilation of kernels, which happens once after an installation."""

from __future__ import annotations

import contextlib
import sys
import time

from noizenet.base import compiled

INTERVAL_S = 2.0
"""Least time between messages. They are lines of text, as a progress bar may be showing."""


def report_progress() -> None:
    """Report the compilation on standard error."""
    last: list[float] = []

    def on_progress(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if last and now - last[0] < INTERVAL_S:
            return
        last[:] = [now]
        _line(f"compiling {what}, once: {done} of {total} …" if total else f"compiling {what}, once: {done} done …")

    compiled.callbacks.on_progress = on_progress
    compiled.callbacks.on_wait = lambda: _line("another noizenet process is compiling the kernels, once; waiting …")
    compiled.callbacks.on_note = lambda text: _line(f"note: {text}")


def _line(text: str) -> None:
    with contextlib.suppress(OSError):  # a full or closed standard error does not stop the compilation
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
