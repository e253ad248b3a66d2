"""Who may ask: Host, Origin and token are checked before anything else, for pages and WebSockets alike.

A page elsewhere can make a browser send requests to 127.0.0.1; it cannot choose their Host and Origin. A name that was
made to point here (DNS rebinding) shows in Host. So a request must name this studio as its host, and one that comes
from a page must come from this studio's own.

At an address that others can reach a token is asked for as well, and any Host is answered: this computer has more names
than it knows of. A rebound name is refused there by the token, which a browser keeps for the name under which it was
given, and by Origin, which must equal Host.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from noizenet.studio.settings import is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "noizenet-token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; worker-src 'self' blob:; frame-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; sandbox"
"""For evaluation reports: one file with its style inside, no script."""


class Guard:
    """Middleware that lets through what comes from this studio's own pages.

    Parameters
    ----------
    app : callable
        The application behind it.
    hosts : callable
        Returns the acceptable Host headers, None for any; asked at each request, since the port may be chosen late.
    token : str
        What a visitor must know; empty: nothing.
    """

    def __init__(self, app: App, hosts: Callable[[], set[str] | None], token: str = "") -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then hand on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope["headers"])
        why = self._refusal(scope, headers)
        if why:
            await _refuse(scope, receive, send, why)
            return
        fresh = self._fresh_token(scope)
        safe = scope.get("scheme") in ("https", "wss")
        trusted = safe or is_near_host(headers.get("host", ""))

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                _harden(message, self._cookie(safe) if fresh else "", trusted)
            await send(message)

        await self._app(scope, receive, sending)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> str:
        host = headers.get("host", "").lower()
        hosts = self._hosts()
        if not host or (hosts is not None and host not in hosts):
            return "this studio does not go by that name"
        origin = headers.get("origin")
        careless = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if origin is None:
            # Browsers send Origin with every WebSocket and every request that changes something.
            if not careless:
                return "a request that changes something must say where it comes from (Origin)"
        elif origin.lower() not in (f"http://{host}", f"https://{host}"):
            return "this request comes from a page elsewhere"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            navigating = careless and headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
            if not navigating:
                return "this request comes from a page elsewhere"
        if self._token and not (self._fresh_token(scope) or self._knows(headers)):
            return "this studio needs its token: open the address that it printed at its start"
        return ""

    def _fresh_token(self, scope: Scope) -> bool:
        if not self._token:
            return False
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _knows(self, headers: dict[str, str]) -> bool:
        cookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except Exception:
            return False
        given = cookie[COOKIE].value if COOKIE in cookie else ""
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _cookie(self, safe: bool) -> str:
        return f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/" + ("; Secure" if safe else "")


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in raw}


def is_near_host(host: str) -> bool:
    """Tell whether a Host header names this computer's loopback address, which browsers trust without HTTPS."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return is_loopback(name.strip("[]"))


def _harden(message: MutableMapping[str, Any], cookie: str, trusted: bool = True) -> None:
    given = {k.lower() for k, _ in message["headers"]}
    extra = {
        "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }  # fmt: skip
    if not trusted:  # browsers heed it with HTTPS only, and complain of it elsewhere
        del extra["cross-origin-opener-policy"]
    if cookie:
        extra["set-cookie"] = cookie
    message["headers"] = [
        *message["headers"],
        *((k.encode(), v.encode()) for k, v in extra.items() if k.encode() not in given),
    ]


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": why[:120]})
        return
    body = why.encode()
    start = {
        "type": "http.response.start", "status": 403,
        "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())],
    }  # fmt: skip
    _harden(start, "")
    await send(start)
    await send({"type": "http.response.body", "body": body})
