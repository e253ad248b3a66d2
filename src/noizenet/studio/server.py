"""Starting the studio: an address, a port, one line that says where it is."""

from __future__ import annotations

import socket
from collections.abc import Callable

from noizenet.base.errors import NoizenetError
from noizenet.studio.app import create_app
from noizenet.studio.settings import Settings

MOST_MESSAGE = 64 << 10


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    settings : Settings
    on_ready : callable
        Called with the address to open, token included.

    Raises
    ------
    NoizenetError
        If the address or the port cannot be had.
    """
    import uvicorn

    listener = _listen(settings)
    app, studio = create_app(settings)
    studio.port = listener.getsockname()[1]
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, ws_max_size=MOST_MESSAGE,
        ws_ping_interval=10.0, ws_ping_timeout=20.0, timeout_graceful_shutdown=3, limit_concurrency=256,
    )  # fmt: skip
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    on_ready(f"http://{host}:{studio.port}/" + (f"?token={settings.token}" if settings.token else ""))
    uvicorn.Server(config).run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise NoizenetError(
            f"{settings.host}:{settings.port}: cannot listen there ({error.strerror}); choose another --port"
        ) from error
    return listener
