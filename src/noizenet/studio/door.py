"""Connections: who sends half a request, or takes no answer, is waited for so long and no longer.

Requests that are not yet whole are few at any time. There may be so many of them; then the one of which nothing came
for the longest makes room. So a visitor who sends a request at once is served, however many others send none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

HEADER_S = 10.0
"""Time for the header of a request, from the connection's beginning or the header's first byte."""

STALLED_S = 40.0
"""Time without a byte of a request's body; routes that take uploads give up somewhat earlier and say so."""

UNREAD_S = 120.0
"""Time in which a visitor takes nothing of an answer."""

MOST_UNFINISHED = 64
MOST_CONNECTIONS = 512
MOST_OF_ONE = 128
"""Connections from one address elsewhere."""


AGAIN_S = 60.0
"""Time between two lines on the terminal that say the same of requests."""


class Seldom(logging.Filter):
    """Lets through each message once a minute, with how often it was held back: anyone can cause them without end."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is to be written."""
        now, key = time.monotonic(), str(record.msg)
        at, held = self._told.get(key, (-AGAIN_S, 0))
        if now - at < AGAIN_S:
            self._told[key] = at, held + 1
            return False
        self._told[key] = now, 0
        if held:
            record.msg = f"{key} ({held} more were not told)"
        return True


def patient() -> Any:
    """Return uvicorn's HTTP protocol with these deadlines; each server needs its own."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    unfinished: dict[Any, float] = {}
    connected: dict[str, int] = {}

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _address = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            connected[self._address] = connected.get(self._address, 0) + 1
            if connected[self._address] > MOST_OF_ONE and not _is_near(self._address):
                transport.abort()
                return
            self._wait(HEADER_S)

        def connection_lost(self, exc: Exception | None) -> None:
            self._leave()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            before = self.conn.their_state
            if before in (h11.DONE, h11.MUST_CLOSE):  # the next request, sent before this one is answered
                super().data_received(data)
                return
            fresh = before is h11.IDLE and self not in unfinished
            super().data_received(data)
            if self.transport is None or self.transport.is_closing() or self.transport.get_protocol() is not self:
                self._arrived()
                return
            after = self.conn.their_state
            if after is h11.SEND_BODY:
                self._wait(STALLED_S)
            elif after is h11.IDLE and self.conn.trailing_data[0]:
                if fresh:  # a header's deadline counts from its first byte, and is not moved by the next
                    self._wait(HEADER_S)
            else:
                self._arrived()

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._leave()
            super().handle_websocket_upgrade(event)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._unread is None:
                self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _wait(self, seconds: float) -> None:
            self._arrived()
            unfinished[self] = self.loop.time()
            self._timer = self.loop.call_later(seconds, self._give_up)
            if len(unfinished) > MOST_UNFINISHED:
                next(iter(unfinished))._give_up()

        def _arrived(self) -> None:
            unfinished.pop(self, None)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _leave(self) -> None:
            self._arrived()
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None
            if self._address in connected:
                connected[self._address] -= 1
                if not connected[self._address]:
                    del connected[self._address]
                self._address = "gone"

        def _give_up(self) -> None:
            self._arrived()
            self.transport.abort()

    return Patient


def _is_near(address: str) -> bool:
    from noizenet.studio.settings import is_loopback

    return is_loopback(address)
