"""What a studio is started with, and where its data lie."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

from noizenet.base.errors import UsageError
from noizenet.base.files import check_own_folder, make_folder

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
TOKEN = re.compile(r"[A-Za-z0-9._~-]*")


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
    collections: int = 200
    seeds: int = 50
    seed_bytes: int = 256 << 20
    recordings: int = 2000
    recording_bytes: int = 8 << 30
    jobs: int = 500
    made: int = 100
    made_bytes: int = 1 << 30
    duels: int = 200
    duel_bytes: int = 512 << 20


FOLDERS = ("uploads", "corpora", "models", "recordings", "jobs", "ab", "seeds", "made", "incoming")


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
    certificate, key : Path, optional
        For HTTPS: a certificate chain and its private key, PEM.

    Raises
    ------
    UsageError
        For a data folder that holds other files, an address that is reachable from elsewhere without a token, a token
        with other signs than letters, digits and ``- _ . ~``, or a certificate without its key.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    models: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and len(self.token) < 16:
            raise UsageError(
                f"host {self.host}: an address that others can reach needs a token of at least 16 characters "
                "(--token); without one the studio listens on 127.0.0.1 only"
            )
        if not TOKEN.fullmatch(self.token):  # it stands in addresses and in a cookie as it is
            raise UsageError("--token: letters and digits of English, and - _ . ~ are what it may be made of")
        if (self.certificate is None) != (self.key is None):
            raise UsageError("HTTPS needs both --certificate and --key")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise UsageError(f"{path}: no such file; HTTPS needs a certificate and its key, both PEM")
        for path in self.models:
            if not path.is_file() and not (path / "model.json").is_file():
                raise UsageError(
                    f"{path}: no such model; give the folder of one, or its zip (the bundled ones are offered anyway)"
                )
        # What lies in some of its folders is removed at a start: they must be the studio's own.
        check_own_folder(self.data, "studio", ["corpora"], FOLDERS[: FOLDERS.index("corpora")])
        for name in FOLDERS:
            make_folder(self.data / name)

    @property
    def scheme(self) -> str:
        """``https`` where there is a certificate, else ``http``."""
        return "http" if self.certificate is None else "https"

    def folder(self, name: str) -> Path:
        """Return one of the data folder's folders."""
        return self.data / name

    @property
    def roots(self) -> list[Path]:
        """Folders of this computer that no answer shall name."""
        named = [self.data, *(p.parent for p in self.models)]
        return [*named, *(p.resolve() for p in named), Path(__file__).resolve().parents[1]]

    def hosts(self, port: int) -> set[str] | None:
        """Return the names under which a browser may ask for this studio, as they stand in Host headers.

        None: under any. A token is asked for then, which a page under a name that was made to point here (DNS
        rebinding) does not have, since a browser keeps it for the name alone under which it was given.
        """
        if self.token and not is_loopback(self.host):
            return None
        names = {self.host if ":" not in self.host else f"[{self.host}]"}
        if is_loopback(self.host):
            names |= set(LOOPBACK_NAMES)
        plain = 443 if self.certificate else 80
        return {f"{name}:{port}" for name in names} | ({*names} if port == plain else set())

    def addresses(self, port: int) -> list[str]:
        """Return the addresses to open, token included: all of this computer's where the studio listens on all."""
        query = f"?token={self.token}" if self.token else ""
        names = own_addresses(":" in self.host) if self.host in ("0.0.0.0", "::") else [self.host]  # noqa: S104
        return [f"{self.scheme}://{f'[{n}]' if ':' in n else n}:{port}/{query}" for n in names]


def own_addresses(six: bool = False) -> list[str]:
    """Return this computer's addresses that others can reach, then the loopback address.

    Parameters
    ----------
    six : bool
        Whether addresses of IP version 6 are listened on too.
    """
    import psutil

    kinds = {socket.AF_INET, socket.AF_INET6} if six else {socket.AF_INET}
    cards = [card for of_one in psutil.net_if_addrs().values() for card in of_one]
    found = [card.address for card in cards if card.family in kinds and "%" not in card.address]
    outside = [a for a in found if not is_loopback(a) and not ipaddress.ip_address(a).is_link_local]
    return [*sorted(set(outside), key=lambda a: (":" in a, a)), "::1" if six and not outside else "127.0.0.1"]


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this computer alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
