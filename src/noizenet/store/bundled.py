"""Models that come with the package, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def bundled_models() -> dict[str, Path]:
    """Return the folder of each bundled model."""
    folder = Path(str(resources.files("noizenet"))) / "bundled" / "models"
    return {p.name: p for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}


def locate(source: Path | str) -> Path:
    """Return where a model lies: a path as it is, or a bundled model's folder where no such path is there."""
    path = Path(source)
    return path if path.exists() else bundled_models().get(str(source), path)
