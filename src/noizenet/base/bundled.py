"""Files bundled with the package, by kind and name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

DEFAULT_MODEL = "token-lstm"
"""The model used if none is chosen."""


def bundled(kind: str) -> dict[str, Path]:
    """Return the bundled folders of a kind (``models``, ``codecs``), by name; the default model is first."""
    folder = Path(str(resources.files("noizenet"))) / "bundled" / kind
    if not folder.is_dir():
        return {}
    folders = sorted(folder.iterdir(), key=lambda p: (p.name != DEFAULT_MODEL, p.name))
    return {p.name: p for p in folders if p.is_dir()}
