"""Requests to stop: signals set an event that the training loop checks between steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class Interrupted(KeyboardInterrupt):
    """A signal stopped the training; its checkpoint is written."""


@contextlib.contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Let SIGINT, SIGTERM and SIGHUP set an event that the training loop checks between steps (main thread only)."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def request_stop(number: int, _: object) -> None:
        if event.is_set() and number == signal.SIGINT:  # a second Ctrl-C stops at once
            raise Interrupted
        event.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:  # nohup
        numbers.append(hangup)
    before = {s: signal.getsignal(s) for s in numbers}
    for number in before:
        signal.signal(number, request_stop)
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
