"""``noizenet studio``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noizenet.cli.output import say


def studio(
    models: Annotated[list[Path] | None, typer.Argument(help="Model folders to offer beside the bundled ones.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 lets the system choose.")] = 8765,
    host: Annotated[str, typer.Option(help="Others than this computer's own address need --token.")] = "127.0.0.1",
    token: Annotated[str, typer.Option(help="What visitors must know, 16 characters or more.")] = "",
    certificate: Annotated[Path | None, typer.Option(help="For HTTPS: a certificate (PEM), with --key.")] = None,
    key: Annotated[Path | None, typer.Option(help="For HTTPS: the certificate's private key (PEM).")] = None,
    data: Annotated[Path | None, typer.Option(help="Where collections, models and recordings lie.")] = None,
) -> None:
    """Open the studio: hear models, steer them, train them and judge them, on a web page."""
    from noizenet.studio.server import serve
    from noizenet.studio.settings import Settings, default_data

    settings = Settings(
        data or default_data(), host, port, token, tuple(models or ()), certificate=certificate, key=key
    )
    serve(settings, _announce)


def _announce(addresses: list[str]) -> None:
    """Print where the studio is, an address a line."""
    say(f"The studio is at {addresses[0]}   (Ctrl-C ends it; trainings go on)")
    for address in addresses[1:]:
        say(f"              or {address}")
