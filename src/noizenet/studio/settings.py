"""What a studio is started with, and where its data lie."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from noizenet.base.errors import UsageError
from noizenet.base.files import make_folder

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def default_data() -> Path:
    """Return the data folder: NOIZENET_STUDIO, or ``noizenet/studio`` among the user's data."""
    named = os.environ.get("NOIZENET_STUDIO")
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(named) if named else base / "noizenet" / "studio"


@dataclass(frozen=True)
class Limits:
    """What a visitor may ask for at most."""

    listeners: int = 32
    upload_bytes: int = 300 << 20
    uploads: int = 400
    total_bytes: int = 8 << 30
    decoded_seconds: float = 3 * 3600.0
    decode_cpu_s: int = 120
    decode_bytes: int = 2 << 30


@dataclass(frozen=True)
class Settings:
    """A studio's settings.

    Parameters
    ----------
    data : Path
        Its data folder; nothing is read or written beside it, but for the models that are named at the start.
    host : str
        The address to listen on. Any but a loopback address needs a token.
    port : int
        0 lets the system choose.
    token : str
        What a visitor must know; empty on a loopback address.
    models : tuple of Path
        Model folders to offer beside the bundled ones and those that are trained here.
    limits : Limits

    Raises
    ------
    UsageError
        For an address that is reachable from elsewhere without a token.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    models: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and len(self.token) < 16:
            raise UsageError(
                f"host {self.host}: an address that others can reach needs a token of at least 16 characters "
                "(--token); without one the studio listens on 127.0.0.1 only"
            )
        for name in ("uploads", "corpora", "models", "recordings", "jobs", "ab", "seeds", "made"):
            make_folder(self.data / name)

    def folder(self, name: str) -> Path:
        """Return one of the data folder's folders."""
        return self.data / name

    def hosts(self, port: int) -> set[str]:
        """Return the names under which a browser may ask for this studio, as they stand in Host headers."""
        names = {self.host if ":" not in self.host else f"[{self.host}]"}
        if is_loopback(self.host):
            names |= set(LOOPBACK_NAMES)
        return {f"{name}:{port}" for name in names} | ({*names} if port == 80 else set())


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this computer alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
