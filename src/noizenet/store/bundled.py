"""Models bundled with the package, by name."""

from __future__ import annotations

from pathlib import Path

from noizenet.base.bundled import bundled

PARTS = ("model.safetensors", "model.json", "card.md")


def bundled_models() -> dict[str, Path]:
    """Return the folder of each bundled model."""
    return bundled("models")


def files_of(source: Path | str) -> list[Path]:
    """Return the paths that are read of a model: its folder and the files in it, or its zip."""
    found = locate(source)
    return [found, *(found / name for name in PARTS)] if found.is_dir() else [found]


def locate(source: Path | str) -> Path:
    """Return the path of a model: `source` if it exists, or the folder of the bundled model of that name."""
    path = Path(source)
    return path if path.exists() else bundled_models().get(str(source), path)
