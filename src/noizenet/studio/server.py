"""Starts the studio's web server on an address and a port."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from noizenet.base.errors import NoizenetError, UsageError
from noizenet.base.files import folder_lock
from noizenet.generation import tempo
from noizenet.studio.app import create_app
from noizenet.studio.beat_subprocess import find_beats_in_subprocess
from noizenet.studio.connections import MAX_CONNECTIONS, RepeatFilter, protocol_with_timeouts
from noizenet.studio.memory import configure_allocator
from noizenet.studio.settings import Settings

MAX_MESSAGE_BYTES = 64 << 10
LOG_FILTER = RepeatFilter()


def serve(settings: Settings, on_ready: Callable[[list[str]], None]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    settings : Settings
    on_ready : callable
        Called with the URLs to open, with the token.

    Raises
    ------
    NoizenetError
        If the address or the port cannot be used, or another studio uses the same data folder.
    """
    import uvicorn

    configure_allocator()
    tempo.find_beats = find_beats_in_subprocess
    with folder_lock(settings.data, "studio's data"):
        listener = _listen(settings)
        app, studio = create_app(settings)
        studio.port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn_config(app, settings))
        on_ready(settings.addresses(studio.port))
        server.run(sockets=[listener])


def uvicorn_config(app: Any, settings: Settings) -> Any:
    """Return uvicorn's configuration, with timeouts and limits of connections and messages.

    Raises
    ------
    UsageError
        If the certificate or its key is not valid.
    """
    import uvicorn

    config = uvicorn.Config(
        app, http=protocol_with_timeouts(), log_level="warning", access_log=False, server_header=False,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=10.0, ws_ping_timeout=20.0, ws_per_message_deflate=False, timeout_graceful_shutdown=3,
        limit_concurrency=MAX_CONNECTIONS, ssl_certfile=settings.certificate, ssl_keyfile=settings.key,
    )  # fmt: skip
    logging.getLogger("uvicorn.error").addFilter(LOG_FILTER)
    if settings.certificate is not None:
        try:
            config.load()
        except OSError as error:  # ssl.SSLError is one
            names = f"{settings.certificate}, {settings.key}"
            raise UsageError(f"{names}: not a certificate and its key in PEM format ({error.strerror})") from error
    return config


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(128)  # clients may connect while the studio starts
    except (OSError, UnicodeError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or "no such address"
        option = "port" if getattr(error, "errno", 0) in (errno.EADDRINUSE, errno.EACCES) else "host"
        raise NoizenetError(
            f"{settings.host}:{settings.port}: cannot listen on this address ({why}); choose another --{option}"
        ) from error
    return listener
