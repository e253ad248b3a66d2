"""Values as strict JSON; a non-finite number becomes null."""

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
        Mappings, sequences, sets, paths, numbers, text, and objects with ``tolist`` (NumPy arrays and scalars).

    Returns
    -------
    Any
        Dictionaries with text keys, lists, and scalars. NaN and infinities, which JSON does not allow, become None.

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
        # Subclasses, such as NumPy's text and numbers, become plain values.
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
    raise TypeError(f"{type(value).__name__} cannot be converted to JSON")


def plain_scalar(value: Any) -> Any:
    """Convert an instance of a subclass of int or str to int or str."""
    return int(value) if isinstance(value, int) else str(value)


def to_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as strict JSON text, without NaN."""
    # A lone surrogate (a file name that is not UTF-8) is not valid in UTF-8: it is escaped as \\udcXX.
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
