"""Connection timeouts and limits: incomplete requests and unread responses are dropped after a timeout.

The number of incomplete requests is limited. Above the limit, the one that has been silent for the longest is dropped.
So a client that sends its request at once is served, however many others send incomplete requests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

HEADER_TIMEOUT_S = 10.0
"""Time for a request's header, from the start of the connection or from the header's first byte."""

BODY_STALL_TIMEOUT_S = 40.0
"""Time without a byte of a request's body. Upload routes have a shorter timeout, with an error message."""

WRITE_TIMEOUT_S = 120.0
"""Time in which a client reads nothing of a response."""

MAX_INCOMPLETE_REQUESTS = 64
MAX_CONNECTIONS = 512
MAX_CONNECTIONS_PER_ADDRESS = 128
"""For addresses of other computers."""

LOG_INTERVAL_S = 60.0
"""Time between two equal warnings on the terminal."""


class RepeatFilter(logging.Filter):
    """Passes each message once a minute, with the number of suppressed repeats: any client can cause warnings."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is logged."""
        now, key = time.monotonic(), str(record.msg)
        last, suppressed = self._last.get(key, (-LOG_INTERVAL_S, 0))
        if now - last < LOG_INTERVAL_S:
            self._last[key] = last, suppressed + 1
            return False
        self._last[key] = now, 0
        if suppressed:
            record.msg = f"{key} ({suppressed} more were suppressed)"
        return True


def protocol_with_timeouts() -> Any:
    """Return uvicorn's HTTP protocol class with these timeouts; each server needs a separate one."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    incomplete: dict[Any, float] = {}
    connections_of: dict[str, int] = {}

    class TimeoutProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _write_timer: asyncio.TimerHandle | None = None
        _address = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            connections_of[self._address] = connections_of.get(self._address, 0) + 1
            if connections_of[self._address] > MAX_CONNECTIONS_PER_ADDRESS and not _is_local(self._address):
                transport.abort()
                return
            self._set_timer(HEADER_TIMEOUT_S)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_connection()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            before = self.conn.their_state
            if before in (h11.DONE, h11.MUST_CLOSE):  # a pipelined request
                super().data_received(data)
                return
            starting = before is h11.IDLE and self not in incomplete
            super().data_received(data)
            if self.transport is None or self.transport.is_closing() or self.transport.get_protocol() is not self:
                self._cancel_timer()
                return
            after = self.conn.their_state
            if after is h11.SEND_BODY:
                self._set_timer(BODY_STALL_TIMEOUT_S)
            elif after is h11.IDLE and self.conn.trailing_data[0]:
                if starting:  # later bytes do not extend a header's timeout
                    self._set_timer(HEADER_TIMEOUT_S)
            else:
                self._cancel_timer()

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._forget_connection()
            super().handle_websocket_upgrade(event)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._write_timer is None:
                self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._write_timer is not None:
                self._write_timer.cancel()
                self._write_timer = None

        def _set_timer(self, seconds: float) -> None:
            self._cancel_timer()
            incomplete[self] = self.loop.time()
            self._timer = self.loop.call_later(seconds, self._abort)
            if len(incomplete) > MAX_INCOMPLETE_REQUESTS:
                next(iter(incomplete))._abort()

        def _cancel_timer(self) -> None:
            incomplete.pop(self, None)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _forget_connection(self) -> None:
            self._cancel_timer()
            if self._write_timer is not None:
                self._write_timer.cancel()
                self._write_timer = None
            if self._address in connections_of:
                connections_of[self._address] -= 1
                if not connections_of[self._address]:
                    del connections_of[self._address]
                self._address = "gone"

        def _abort(self) -> None:
            self._cancel_timer()
            self.transport.abort()

    return TimeoutProtocol


def _is_local(address: str) -> bool:
    from noizenet.studio.settings import is_loopback

    return is_loopback(address)
