"""What callers give, looked at before it is used: a wrong type is a clear error that names the parameter."""

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
        If it is no text or path, or none that a file system can hold.
    """
    if not isinstance(value, (str, Path)) or not str(value):
        raise UsageError(f"{name}: {shortened(value)} is no path: give text or a pathlib.Path")
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
    """Return a number, a whole one where that is asked for; not a truth value."""
    import numbers

    kind: Any = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kind):
        raise UsageError(f"{name}: {shortened(value)} is no {'whole ' if whole else ''}number")
    return value


def shortened(value: Any) -> str:
    """Return a value as text of at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
