"""Names that visitors choose become names of files: checked, so that no path leaves the data folder."""

from __future__ import annotations

import re
from pathlib import Path

from noizenet.base.errors import UsageError

NAME = re.compile(r"[\w][\w .()'&+,-]{0,79}", re.UNICODE)


def checked(name: str, what: str = "name") -> str:
    """Return a name that can be one file's or folder's.

    Examples
    --------
    >>> checked("My album (live)")
    'My album (live)'
    >>> checked("../secrets")
    Traceback (most recent call last):
    noizenet.base.errors.UsageError: name '../secrets': letters, digits, spaces and . ( ) ' & + , - _ make a name

    Raises
    ------
    UsageError
        For anything else.
    """
    if not NAME.fullmatch(name) or name.endswith((".", " ")):
        raise UsageError(f"{what} {name[:80]!r}: letters, digits, spaces and . ( ) ' & + , - _ make a name")
    return name


def inside(folder: Path, *names: str) -> Path:
    """Return a path below a folder, made of checked names; links that lead out of it are refused.

    Raises
    ------
    UsageError
        If a name is none, or the path would lie elsewhere.
    """
    path = folder.joinpath(*(checked(n) for n in names))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{'/'.join(names)}: lies outside of the studio's data")
    return path
