"""What comes with the package, by kind and name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def bundled(kind: str) -> dict[str, Path]:
    """Return the folders of what is bundled of a kind (``models``, ``codecs``), by name."""
    folder = Path(str(resources.files("noizenet"))) / "bundled" / kind
    return {p.name: p for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}
