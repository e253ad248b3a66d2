"""Error responses: an HTTP status and a one-line message without paths of this computer."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from noizenet.base.errors import AudioError, DiskFullError, NoizenetError, UsageError

_EXPECTED = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "a text"}
"""The expected value, by the prefix of a Pydantic error type."""
STATUS: dict[type, int] = {AudioError: 422, DiskFullError: 507}
PATHS = re.compile(r"(?<![\w:./\\-])(?:[A-Za-z]:\\(?:[^\\\s'\"]+\\)*|/(?:[^/\s'\":]+/)+)")


class RefusedError(UsageError):
    """A request that the studio refuses.

    Parameters
    ----------
    text : str
        The message: what was requested, why it is refused, what to do.
    status : int
        HTTP status: 400 bad request, 408 timeout, 409 conflict, 413 too large, 503 busy, 507 no space.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def required_text(values: Mapping[str, Any], field: str) -> str:
    """Return a required text field of a request's JSON.

    Raises
    ------
    RefusedError
        If the field is missing, empty or not a text.
    """
    value = values.get(field)
    if value == "":
        raise RefusedError(f"{field}: this field is empty; fill it in")
    if value is None:
        raise RefusedError(f"{field}: this field is missing in the request's JSON; add it as a string")
    if not isinstance(value, str):
        raise RefusedError(f"{field}: this field of the request's JSON is not a string; put it in quotation marks")
    return value


def describe_validation_errors(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return a one-line message for FastAPI's validation errors.

    Parameters
    ----------
    errors : sequence of mapping
        The errors as Pydantic describes them; the message is about the first.

    Examples
    --------
    >>> describe_validation_errors([{"loc": ("query", "seed"), "type": "int_parsing"}])
    'seed: expected a whole number'
    """
    where, kind = (errors[0]["loc"], str(errors[0]["type"])) if errors else ((), "")
    if where[:1] == ("body",) and len(where) == 1:
        what = "is missing" if kind == "missing" else "is not a JSON object"
        return f"the request's body {what}; send a JSON object, with the header Content-Type: application/json"
    if kind == "json_invalid":
        return "the request's body is not valid JSON; send a JSON object"
    field = str(where[-1])[:80] if where else "request"
    if kind == "missing":
        return f"{field}: this field is missing in the request; add it"
    expected = _EXPECTED.get(kind.partition("_")[0], "a value of another kind")
    return f"{field}: expected {expected}"


def http_status(error: NoizenetError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, RefusedError):
        return error.status
    return 400 if error.exit_code == 2 else STATUS.get(type(error), 500)


def without_paths(text: str, roots: Iterable[Path] = ()) -> str:
    """Return a text in which absolute paths are reduced to their last name.

    Parameters
    ----------
    text : str
    roots : iterable of Path
        Folders to remove; the pattern alone does not detect folders with blanks in their names.

    Examples
    --------
    >>> without_paths("/home/me/x y/song.wav: damaged; see /var/log/z.txt", [Path("/home/me/x y")])
    'song.wav: damaged; see z.txt'
    """
    for root in sorted({str(r) for r in roots} - {"/", "."}, key=len, reverse=True):
        text = text.replace(root + "/", "").replace(root + "\\", "").replace(root, Path(root).name)
    return PATHS.sub("", text)


def check_sendable(value: Any) -> None:
    """Check that a value can be sent as strict JSON: finite numbers, and Unicode without lone surrogates.

    Raises
    ------
    ValueError, TypeError, RecursionError
        If it cannot be sent.
    """
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def describe_os_error(error: OSError, name: str) -> NoizenetError:
    """Convert an operating-system error to an error with a one-line message that names only the file."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"{name}: the studio's disk is full; free some space and try again")
    if error.errno == errno.ENAMETOOLONG:
        return RefusedError(f"{name[:40]}…: the name is too long for this file system; choose a shorter one")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return RefusedError(
            f"{name}: a file is in place of a folder, or a folder in place of a file; choose another", 409
        )
    return NoizenetError(f"{name}: cannot be written ({error.strerror or type(error).__name__})")
