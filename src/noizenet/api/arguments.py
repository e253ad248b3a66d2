"""Checks of arguments: a wrong type raises an error that names the parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noizenet.base.arguments import a_number, a_path, shortened
from noizenet.base.errors import UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.generation.controls import Controls

__all__ = ["a_corpus", "a_model", "a_number", "a_path", "controls_of"]

if TYPE_CHECKING:
    from noizenet.store.model import Model


def a_model(value: Any) -> Model:
    """Return a model, loaded if `value` is a folder, a zip or the name of a bundled model."""
    from noizenet.store.model import Model, load

    return value if isinstance(value, Model) else load(a_path(value, "model"))


def a_corpus(value: Any) -> Corpus:
    """Return a corpus, opened if `value` is a folder."""
    return value if isinstance(value, Corpus) else Corpus(a_path(value, "corpus"))


def controls_of(value: Any) -> Controls:
    """Return `value` if it is a Controls."""
    if not isinstance(value, Controls):
        raise UsageError(f"controls: {shortened(value)} is not a noizenet.Controls")
    return value
