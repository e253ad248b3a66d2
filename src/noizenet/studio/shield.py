"""Around all routes: how much JSON may come, and what a failure that nobody foresaw looks like from outside."""

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

from noizenet.studio.guard import App, Receive, Scope, Send

MOST_BODY = 64 << 10
LOG_BYTES = 1 << 20
BODY_S = 10.0
"""Time for a JSON body to come in."""

UNFORESEEN = "the studio met an error that it did not foresee; its log says more"

Message = MutableMapping[str, Any]


class Shield:
    """Middleware: JSON bodies are read here, whole or refused; failures are logged and told in one line.

    Parameters
    ----------
    app : callable
        The application behind it.
    takes_files : callable
        Tells of a method and a path whether its body is a file, which the route itself reads.
    log : Path
        Where the tracebacks go.
    """

    def __init__(self, app: App, takes_files: Callable[[str, str], bool], log: Path) -> None:
        self._app, self._takes_files = app, takes_files
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, with what the class says."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        begun = accepted = False

        async def sending(message: Message) -> None:
            nonlocal begun, accepted
            closed = begun
            begun = begun or message["type"] in ("http.response.start", "websocket.close")
            try:
                await send(message)
            except RuntimeError as error:  # what the server raises where the visitor has closed first
                if accepted and not closed:
                    raise WebSocketDisconnect(1006) from error
                raise
            accepted = accepted or message["type"] == "websocket.accept"

        try:
            if scope["type"] == "http" and b"%2f" in scope.get("raw_path", b"").partition(b"?")[0].lower():
                # Decoded, it would part one name into two, and what is asked of one place would be done at another.
                await _answer(sending, 400, "a name in the address has a slash (%2F) in it, which no name may have")
                return
            if scope["type"] == "http" and not self._takes_files(scope["method"], scope["path"]):
                given = await _whole_body(scope, receive, sending)
                if given is None:
                    return
                receive = given
            await self._app(scope, receive, sending)
        except (ClientDisconnect, WebSocketDisconnect, ConnectionError):
            return  # gone: nobody to tell
        except Exception as error:
            self._tell(scope, error)
            if not begun:
                await _fail(scope, sending)

    def _tell(self, scope: Scope, error: Exception) -> None:
        what = f"{scope.get('method', scope['type'])} {scope['path'][:200]!r}"
        _note(self._log, what + "\n" + "".join(traceback.format_exception(error)))
        sys.stderr.write(f"studio: {what} met {type(error).__name__}; see {self._log}\n")


async def _whole_body(scope: Scope, receive: Receive, send: Send) -> Receive | None:
    """Read a body of at most 64 KiB; None where it was refused."""
    body = b""
    try:
        announced = next((int(v) for k, v in scope["headers"] if k == b"content-length"), 0)
        while announced <= MOST_BODY:
            message = await asyncio.wait_for(receive(), BODY_S)
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > MOST_BODY or not message.get("more_body", False):
                break
    except (TimeoutError, asyncio.TimeoutError):
        await _answer(send, 408, f"the request did not come in within {BODY_S:.0f} s")
        return None
    if max(announced, len(body)) > MOST_BODY:
        await _answer(send, 413, f"larger than a request here may be ({MOST_BODY >> 10} KiB)")
        return None
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _answer(send: Send, status: int, problem: str) -> None:
    body = json.dumps({"problem": problem}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"connection", b"close")]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _fail(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1011, "reason": "the studio met an error"})
    else:
        await _answer(send, 500, UNFORESEEN)


def _note(path: Path, text: str) -> None:
    """Append to the log, of which the last two MiB are kept."""
    with contextlib.suppress(OSError):  # a full disk, say: the line on the terminal remains
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".old.log"))
        with path.open("a", encoding="utf-8", errors="replace") as handle:
            handle.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
