"""Starting the studio: an address, a port, one line that says where it is."""

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
from noizenet.studio.door import MOST_CONNECTIONS, Seldom, patient
from noizenet.studio.ears import beats_elsewhere
from noizenet.studio.memory import settle_allocator
from noizenet.studio.settings import Settings

MOST_MESSAGE = 64 << 10
SELDOM = Seldom()


def serve(settings: Settings, on_ready: Callable[[list[str]], None]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    settings : Settings
    on_ready : callable
        Called with the addresses to open, token included.

    Raises
    ------
    NoizenetError
        If the address or the port cannot be had, or another studio works on the same data.
    """
    import uvicorn

    settle_allocator()
    tempo.find_beats = beats_elsewhere
    with folder_lock(settings.data, "studio's data"):
        listener = _listen(settings)
        app, studio = create_app(settings)
        studio.port = listener.getsockname()[1]
        server = uvicorn.Server(configured(app, settings))
        on_ready(settings.addresses(studio.port))
        server.run(sockets=[listener])


def configured(app: Any, settings: Settings) -> Any:
    """Return how uvicorn serves the application: with deadlines, and limits on connections and messages.

    Raises
    ------
    UsageError
        If the certificate and its key do not do for HTTPS.
    """
    import uvicorn

    config = uvicorn.Config(
        app, http=patient(), log_level="warning", access_log=False, server_header=False, ws_max_size=MOST_MESSAGE,
        ws_ping_interval=10.0, ws_ping_timeout=20.0, ws_per_message_deflate=False, timeout_graceful_shutdown=3,
        limit_concurrency=MOST_CONNECTIONS, ssl_certfile=settings.certificate, ssl_keyfile=settings.key,
    )  # fmt: skip
    logging.getLogger("uvicorn.error").addFilter(SELDOM)
    if settings.certificate is not None:
        try:
            config.load()
        except OSError as error:  # ssl's errors are such
            names = f"{settings.certificate}, {settings.key}"
            raise UsageError(f"{names}: not a certificate and its key, both PEM ({error.strerror})") from error
    return config


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(128)  # who reads the address may connect at once, and waits while the studio starts
    except (OSError, UnicodeError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or "no such address"
        wrong = "port" if getattr(error, "errno", 0) in (errno.EADDRINUSE, errno.EACCES) else "host"
        raise NoizenetError(
            f"{settings.host}:{settings.port}: cannot listen there ({why}); choose another --{wrong}"
        ) from error
    return listener
