"""Values as strict JSON: a number that is not finite is null, whoever writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def plain(value: Any) -> Any:
    """Return `value` as JSON data.

    Parameters
    ----------
    value : Any
        Mappings, sequences, sets, paths, numbers, text, and what has ``tolist`` (NumPy's arrays and numbers).

    Returns
    -------
    Any
        Dictionaries with text as keys, lists, and scalars. NaN and infinities, which JSON does not know, are None.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> plain({"loss": float("nan"), 3: (1, 2.5, float("inf"))})
    {'loss': None, '3': [1, 2.5, None]}
    """
    if value is None or isinstance(value, (bool, int, str)):
        # NumPy's text and numbers derive from Python's: they come out as the plain ones.
        return value if type(value) in (bool, int, str, type(None)) else plain_scalar(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return [plain(v) for v in sorted(value)]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def plain_scalar(value: Any) -> Any:
    """Return an instance of a subclass of int or str as the plain one."""
    return int(value) if isinstance(value, int) else str(value)


def to_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as strict JSON text: never NaN, never a failure for a number."""
    # A lone surrogate (a file name that is not UTF-8) cannot be written as UTF-8: it is spelt \\udcXX.
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
