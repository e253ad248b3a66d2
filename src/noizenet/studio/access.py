"""Access control: Host, Origin and token are checked before anything else, for HTTP requests and WebSockets.

A foreign page can make a browser send requests to 127.0.0.1, but it cannot choose their Host and Origin. DNS rebinding
shows in Host. So a request must name this studio as its host, and a request from a page must come from this studio's
own pages.

On an address that other computers can reach, a token is required as well, and any Host is accepted: this computer may
have names that it does not know. DNS rebinding is then blocked by the token, whose cookie the browser sends only to the
host that set it, and by Origin, which must equal Host.
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
"""Policy of evaluation reports: one file with inline styles and no script."""


class AccessMiddleware:
    """ASGI middleware that accepts requests from this studio's own pages only.

    Parameters
    ----------
    app : callable
        The wrapped application.
    hosts : callable
        Returns the accepted Host headers, None for any. Called for each request, since the port may be chosen late.
    token : str
        The required token; empty if none is required.
    """

    def __init__(self, app: App, hosts: Callable[[], set[str] | None], token: str = "") -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, then call the application."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope["headers"])
        reason = self._check(scope, headers)
        if reason:
            await _reject(scope, receive, send, reason)
            return
        set_cookie = self._token_in_query(scope)
        secure = scope.get("scheme") in ("https", "wss")
        trusted = secure or is_loopback_host(headers.get("host", ""))

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                _add_security_headers(message, self._cookie(secure) if set_cookie else "", trusted)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope, headers: dict[str, str]) -> str:
        host = headers.get("host", "").lower()
        hosts = self._hosts()
        if not host or (hosts is not None and host not in hosts):
            return "unknown host name; open the address that the studio printed at its start"
        origin = headers.get("origin")
        read_only = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if origin is None:
            # Browsers send Origin with every WebSocket and every request that changes something.
            if not read_only:
                return "a request that changes something needs an Origin header"
        elif origin.lower() not in (f"http://{host}", f"https://{host}"):
            return "cross-site request: only the studio's own pages may send requests"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            navigating = read_only and headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
            if not navigating:
                return "cross-site request: only the studio's own pages may send requests"
        if self._token and not (self._token_in_query(scope) or self._has_cookie(headers)):
            return "missing or wrong token: open the address that the studio printed at its start"
        return ""

    def _token_in_query(self, scope: Scope) -> bool:
        if not self._token:
            return False
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _has_cookie(self, headers: dict[str, str]) -> bool:
        cookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except Exception:
            return False
        given = cookie[COOKIE].value if COOKIE in cookie else ""
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _cookie(self, secure: bool) -> str:
        return f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/" + ("; Secure" if secure else "")


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in raw}


def is_loopback_host(host: str) -> bool:
    """Return whether a Host header names the loopback address, which browsers trust without HTTPS."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return is_loopback(name.strip("[]"))


def _add_security_headers(message: MutableMapping[str, Any], cookie: str, trusted: bool = True) -> None:
    given = {k.lower() for k, _ in message["headers"]}
    extra = {
        "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }  # fmt: skip
    if not trusted:  # browsers apply it with HTTPS only, and warn without
        del extra["cross-origin-opener-policy"]
    if cookie:
        extra["set-cookie"] = cookie
    message["headers"] = [
        *message["headers"],
        *((k.encode(), v.encode()) for k, v in extra.items() if k.encode() not in given),
    ]


async def _reject(scope: Scope, receive: Receive, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        return
    body = reason.encode()
    start = {
        "type": "http.response.start", "status": 403,
        "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())],
    }  # fmt: skip
    _add_security_headers(start, "")
    await send(start)
    await send({"type": "http.response.body", "body": body})
