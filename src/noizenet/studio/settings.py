"""Settings of a studio, and its data folder."""

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
    """Return the data folder: NOIZENET_STUDIO, or ``noizenet/studio`` in the user's data folder."""
    named = os.environ.get("NOIZENET_STUDIO")
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(named) if named else base / "noizenet" / "studio"


@dataclass(frozen=True)
class Limits:
    """Limits of a studio's resources."""

    listeners: int = 32
    upload_bytes: int = 300 << 20
    uploads: int = 400
    total_bytes: int = 8 << 30
    decoded_seconds: float = 3 * 3600.0
    decode_cpu_s: int = 120
    decode_bytes: int = 2 << 30
    collections: int = 200
    prompts: int = 50
    prompt_bytes: int = 256 << 20
    recordings: int = 2000
    recording_bytes: int = 8 << 30
    jobs: int = 500
    rendered: int = 100
    rendered_bytes: int = 1 << 30
    ab_tests: int = 200
    ab_test_bytes: int = 512 << 20


FOLDERS = ("uploads", "corpora", "models", "recordings", "jobs", "ab", "seeds", "made", "incoming")


@dataclass(frozen=True)
class Settings:
    """A studio's settings.

    Parameters
    ----------
    data : Path
        The data folder. Nothing else is read or written, except the given models.
    host : str
        The address to listen on. Any address except a loopback address needs a token.
    port : int
        0 lets the system choose.
    token : str
        The access token; may be empty on a loopback address.
    models : tuple of Path
        Model folders to offer in addition to the bundled models and those trained in the studio.
    limits : Limits
    certificate, key : Path, optional
        For HTTPS: a certificate chain and its private key, PEM.

    Raises
    ------
    UsageError
        For a data folder with other files, a reachable address without a token, a token with other characters than
        letters, digits and ``- _ . ~``, or a certificate without its key.
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
                f"host {self.host}: an address that other computers can reach needs a token of at least 16 "
                "characters (--token); without a token, use 127.0.0.1"
            )
        if not TOKEN.fullmatch(self.token):  # it is used in URLs and in a cookie without escaping
            raise UsageError("--token: use only the letters a-z and A-Z, digits and - _ . ~")
        if (self.certificate is None) != (self.key is None):
            raise UsageError("HTTPS needs both --certificate and --key")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise UsageError(f"{path}: no such file; HTTPS needs a certificate and its private key in PEM format")
        for path in self.models:
            if not path.is_file() and not (path / "model.json").is_file():
                raise UsageError(
                    f"{path}: no such model; give a model folder or its zip file (bundled models are always offered)"
                )
        # Files in some of these folders are removed at a start, so they must belong to the studio.
        check_own_folder(self.data, "studio", ["corpora"], FOLDERS[: FOLDERS.index("corpora")])
        for name in FOLDERS:
            make_folder(self.data / name)

    @property
    def scheme(self) -> str:
        """``https`` with a certificate, else ``http``."""
        return "http" if self.certificate is None else "https"

    def folder(self, name: str) -> Path:
        """Return a subfolder of the data folder."""
        return self.data / name

    @property
    def roots(self) -> list[Path]:
        """Folders of this computer that must not occur in responses."""
        named = [self.data, *(p.parent for p in self.models)]
        return [*named, *(p.resolve() for p in named), Path(__file__).resolve().parents[1]]

    def hosts(self, port: int) -> set[str] | None:
        """Return the accepted values of the Host header; None for any.

        Any value is accepted only with a token. It blocks DNS rebinding, since a browser sends the token's cookie
        only to the host that set it.
        """
        if self.token and not is_loopback(self.host):
            return None
        names = {self.host if ":" not in self.host else f"[{self.host}]"}
        if is_loopback(self.host):
            names |= set(LOOPBACK_NAMES)
        default_port = 443 if self.certificate else 80
        return {f"{name}:{port}" for name in names} | ({*names} if port == default_port else set())

    def addresses(self, port: int) -> list[str]:
        """Return the URLs to open, with the token; one for each address of this computer if all are listened on."""
        query = f"?token={self.token}" if self.token else ""
        names = local_addresses(":" in self.host) if self.host in ("0.0.0.0", "::") else [self.host]  # noqa: S104
        return [f"{self.scheme}://{f'[{n}]' if ':' in n else n}:{port}/{query}" for n in names]


def local_addresses(ipv6: bool = False) -> list[str]:
    """Return this computer's addresses that other computers can reach, then the loopback address.

    Parameters
    ----------
    ipv6 : bool
        Whether IPv6 addresses are listened on too.
    """
    import psutil

    kinds = {socket.AF_INET, socket.AF_INET6} if ipv6 else {socket.AF_INET}
    interfaces = [interface for group in psutil.net_if_addrs().values() for interface in group]
    found = [
        interface.address for interface in interfaces if interface.family in kinds and "%" not in interface.address
    ]
    reachable = [a for a in found if not is_loopback(a) and not ipaddress.ip_address(a).is_link_local]
    return [*sorted(set(reachable), key=lambda a: (":" in a, a)), "::1" if ipv6 and not reachable else "127.0.0.1"]


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this computer only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
