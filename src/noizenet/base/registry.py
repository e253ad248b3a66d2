"""Registries: name → "module:attribute", imported on first use.

A registry is a table: one line adds a component, and importing the package stays fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from noizenet.base.errors import UsageError, suggest


class Registry(Mapping[str, str]):
    """A lazy table of named components.

    Parameters
    ----------
    what : str
        Kind of component, used in messages ("cell", "representation").
    entries : mapping of str to str
        Name → "module:attribute".

    Examples
    --------
    >>> r = Registry("example", {"sqrt": "math:sqrt"})
    >>> r.load("sqrt")(9.0)
    3.0
    """

    def __init__(self, what: str, entries: Mapping[str, str]) -> None:
        self.what = what
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str) -> Any:
        """Import and return the component `name`.

        Raises
        ------
        UsageError
            If there is no such name; the message suggests the most similar one.
        """
        if name not in self._entries:
            raise UsageError(f"unknown {self.what} {name!r:.80}: {suggest(name[:80], list(self._entries))}")
        module, attribute = self._entries[name].split(":")
        return getattr(importlib.import_module(module), attribute)
