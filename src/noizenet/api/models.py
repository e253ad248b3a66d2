"""Bundled models, and models in folders and zips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from noizenet.base.arguments import a_path

if TYPE_CHECKING:
    from noizenet.store.model import Model


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that come with the package, by name."""
    from noizenet.store.bundled import bundled_models as found

    return found()


def inputs_of(*sources: object) -> list[Path]:
    """Return the files and folders of models, corpora and recordings that are given by path."""
    from noizenet.store.bundled import files_of

    return [p for s in sources if isinstance(s, (str, Path)) for p in files_of(a_path(s, "model"))]


def load_model(source: Path | str) -> Model:
    """Read a model folder or zip, or a bundled model by its name; no code in it is executed."""
    from noizenet.store.model import load

    return load(a_path(source, "model"))
