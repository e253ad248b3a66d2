"""Checks of callers' arguments: a wrong type is a clear error that names the parameter."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from noizenet.base.errors import UsageError


def a_path(value: Any, name: str) -> Path:
    """Return `value` as a path.

    Raises
    ------
    UsageError
        If it is not text or a path, or not valid on this file system.
    """
    if not isinstance(value, (str, Path)) or not str(value):
        raise UsageError(f"{name}: {shortened(value)} is not a path: give text or a pathlib.Path")
    try:
        os.lstat(value)
    except ValueError as error:  # a NUL
        raise UsageError(f"{name}: {shortened(value)} cannot be a file's name ({error})") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{name}: {str(value)[:60]}…: the name is too long for this file system; choose a shorter one"
            ) from error
    return Path(value)


def a_number(value: Any, name: str, *, whole: bool = False) -> Any:
    """Return `value` if it is a number (an integer if `whole`) and not a bool.

    Raises
    ------
    UsageError
        If it is not.
    """
    import numbers

    kind: Any = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kind):
        raise UsageError(f"{name}: {shortened(value)} is not a {'whole ' if whole else ''}number")
    return value


def shortened(value: Any) -> str:
    """Return a value as text of at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
