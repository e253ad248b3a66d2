"""Middleware for all routes: limits of request bodies, and logging of unexpected errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from noizenet.studio.access import App, Receive, Scope, Send

MAX_BODY_BYTES = 64 << 10
MAX_LOG_BYTES = 1 << 20
BODY_TIMEOUT_S = 10.0
"""Time to receive a JSON body."""

INTERNAL_ERROR = "internal error of the studio; see studio.log in its data folder"

Message = MutableMapping[str, Any]


class RequestMiddleware:
    """ASGI middleware that reads JSON bodies within limits, and logs errors and reports them in one line.

    Parameters
    ----------
    app : callable
        The wrapped application.
    is_file_upload : callable
        Returns whether the body of a method and a path is a file, which the route itself reads.
    log : Path
        File for tracebacks.
    """

    def __init__(self, app: App, is_file_upload: Callable[[str, str], bool], log: Path) -> None:
        self._app, self._is_file_upload = app, is_file_upload
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check and read the request, then call the application."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        responding = accepted = False

        async def track_send(message: Message) -> None:
            nonlocal responding, accepted
            closed = responding
            responding = responding or message["type"] in ("http.response.start", "websocket.close")
            try:
                await send(message)
            except RuntimeError as error:  # raised by the server if the client has closed first
                if accepted and not closed:
                    raise WebSocketDisconnect(1006) from error
                raise
            accepted = accepted or message["type"] == "websocket.accept"

        try:
            if scope["type"] == "http" and b"%2f" in scope.get("raw_path", b"").partition(b"?")[0].lower():
                # Decoded, it would split one name into two, and the request would apply to another path.
                await _send_problem(
                    track_send, 400, "a name in the URL contains an encoded slash (%2F), which is not allowed"
                )
                return
            if scope["type"] == "http" and not self._is_file_upload(scope["method"], scope["path"]):
                replayed = await _whole_body(scope, receive, track_send)
                if replayed is None:
                    return
                receive = replayed
            await self._app(scope, receive, track_send)
        except (ClientDisconnect, WebSocketDisconnect, ConnectionError):
            return  # the client has disconnected
        except Exception as error:
            self._log_error(scope, error)
            if not responding:
                await _send_internal_error(scope, track_send)

    def _log_error(self, scope: Scope, error: Exception) -> None:
        request = f"{scope.get('method', scope['type'])} {scope['path'][:200]!r}"
        _append_log(self._log, request + "\n" + "".join(traceback.format_exception(error)))
        sys.stderr.write(f"studio: {request} failed with {type(error).__name__}; see {self._log}\n")


async def _whole_body(scope: Scope, receive: Receive, send: Send) -> Receive | None:
    """Read a body of at most 64 KiB; return a function that replays it, or None if it was refused."""
    body = b""
    try:
        content_length = next((int(v) for k, v in scope["headers"] if k == b"content-length"), 0)
        while content_length <= MAX_BODY_BYTES:
            message = await asyncio.wait_for(receive(), BODY_TIMEOUT_S)
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES or not message.get("more_body", False):
                break
    except (TimeoutError, asyncio.TimeoutError):
        await _send_problem(send, 408, f"the request was not complete within {BODY_TIMEOUT_S:.0f} s")
        return None
    if max(content_length, len(body)) > MAX_BODY_BYTES:
        await _send_problem(send, 413, f"the request is larger than {MAX_BODY_BYTES >> 10} KiB")
        return None
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _send_problem(send: Send, status: int, problem: str) -> None:
    body = json.dumps({"problem": problem}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"connection", b"close")]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_internal_error(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1011, "reason": "internal error of the studio"})
    else:
        await _send_problem(send, 500, INTERNAL_ERROR)


def _append_log(path: Path, text: str) -> None:
    """Append to the log; at most its last two MiB are kept."""
    with contextlib.suppress(OSError):  # such as a full disk: the line on the terminal remains
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".old.log"))
        with path.open("a", encoding="utf-8", errors="replace") as handle:
            handle.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
