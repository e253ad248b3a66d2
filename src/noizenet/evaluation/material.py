"""The name of :mod:`noizenet.evaluation.recording` in version 0.1, for programs that import it."""

from noizenet.evaluation.recording import of_folder

__all__ = ["of_folder"]
