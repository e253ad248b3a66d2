"""What was not as a file says, in one line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Issue:
    """One thing that was not as a file says.

    `kind` is "repaired" (nothing of the sound is missing) or "lost" (a part is missing); `text` is one line without
    the path.
    """

    kind: str
    text: str


def repaired(text: str) -> Issue:
    """Return an issue after which nothing of the sound is missing."""
    return Issue("repaired", text)


def lost(text: str) -> Issue:
    """Return an issue of sound that is missing."""
    return Issue("lost", text)
