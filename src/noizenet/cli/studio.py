"""``noizenet studio``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noizenet.cli.output import print_message


def studio(
    models: Annotated[
        list[Path] | None, typer.Argument(help="Model folders to offer, in addition to bundled models.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 lets the system choose.")] = 8765,
    host: Annotated[str, typer.Option(help="Address; any but this computer's own needs --token.")] = "127.0.0.1",
    token: Annotated[str, typer.Option(help="Access token for visitors, at least 16 characters.")] = "",
    certificate: Annotated[Path | None, typer.Option(help="For HTTPS: a certificate (PEM), with --key.")] = None,
    key: Annotated[Path | None, typer.Option(help="For HTTPS: the certificate's private key (PEM).")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of collections, models and recordings.")] = None,
) -> None:
    """Start the studio, where models are played, trained and evaluated."""
    from noizenet.studio.server import serve
    from noizenet.studio.settings import Settings, default_data

    settings = Settings(
        data or default_data(), host, port, token, tuple(models or ()), certificate=certificate, key=key
    )
    serve(settings, _announce)


def _announce(addresses: list[str]) -> None:
    """Print the studio's addresses, one a line."""
    print_message(f"The studio is at {addresses[0]}   (Ctrl-C stops it; trainings continue)")
    for address in addresses[1:]:
        print_message(f"              or {address}")
