"""Name → "module:Class", read when it is used.

A registry is a plain table, so that one line adds a part, ``grep`` finds it, and importing the package
costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from noizenet.base.errors import UsageError, suggest


class Registry(Mapping[str, str]):
    """A lazy table of named parts.

    Parameters
    ----------
    what : str
        What the names stand for, used in messages ("cell", "representation").
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
        """Import and return the part called `name`.

        Raises
        ------
        UsageError
            If there is no such name; the message suggests the nearest one.
        """
        if name not in self._entries:
            raise UsageError(f"unknown {self.what} {name!r:.80}: {suggest(name[:80], list(self._entries))}")
        module, attribute = self._entries[name].split(":")
        return getattr(importlib.import_module(module), attribute)
