"""A problem of a file, in one line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Issue:
    """A problem of a file.

    `kind` is "repaired" (no audio is missing) or "lost" (a part is missing). `text` is one line without the path.
    """

    kind: str
    text: str


def repaired(text: str) -> Issue:
    """Return an issue without missing audio."""
    return Issue("repaired", text)


def lost(text: str) -> Issue:
    """Return an issue with missing audio."""
    return Issue("lost", text)
