"""How the studio says no: a status for the wire, and one line without the paths of this computer."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from noizenet.base.errors import AudioError, DiskFullError, NoizenetError, UsageError

_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "a text"}
"""What Pydantic's kinds of errors begin with, and what would be right."""
STATUS: dict[type, int] = {AudioError: 422, DiskFullError: 507}
PATHS = re.compile(r"(?<![\w:./\\-])(?:[A-Za-z]:\\(?:[^\\\s'\"]+\\)*|/(?:[^/\s'\":]+/)+)")


class RefusedError(UsageError):
    """A request that the studio does not carry out.

    Parameters
    ----------
    text : str
        What was asked, why not, what to do.
    status : int
        Of the answer: 400 for a wrong request, 408 too slow, 409 taken, 413 too large, 503 busy, 507 no room.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def wanted(wish: Mapping[str, Any], field: str) -> str:
    """Return a text that a request's JSON must have.

    Raises
    ------
    RefusedError
        If the field is not there, is empty or is no text.
    """
    value = wish.get(field)
    if value == "":
        raise RefusedError(f"{field}: this field is empty; fill it in")
    if value is None:
        raise RefusedError(f"{field}: this field is missing in the request's JSON; give it as a text")
    if not isinstance(value, str):
        raise RefusedError(f"{field}: this field of the request's JSON is no text; give it as one, in quotation marks")
    return value


def not_understood_because(found: Sequence[Mapping[str, Any]]) -> str:
    """Say in a plain sentence what FastAPI has found wrong with a request.

    Parameters
    ----------
    found : sequence of mapping
        The errors, as Pydantic describes them; the first is told.

    Examples
    --------
    >>> not_understood_because([{"loc": ("query", "seed"), "type": "int_parsing"}])
    'seed: expected a whole number'
    """
    where, kind = (found[0]["loc"], str(found[0]["type"])) if found else ((), "")
    if where[:1] == ("body",) and len(where) == 1:
        what = "is missing" if kind == "missing" else "is no JSON object"
        return f"the request's body {what}; send a JSON object, with the header Content-Type: application/json"
    if kind == "json_invalid":
        return "the request's body is not valid JSON; send a JSON object"
    field = str(where[-1])[:80] if where else "request"
    if kind == "missing":
        return f"{field}: this field is missing in the request; give it"
    expected = _KINDS.get(kind.partition("_")[0], "a value of another kind")
    return f"{field}: expected {expected}"


def status_of(error: NoizenetError) -> int:
    """Return the status of an answer that tells of an error."""
    if isinstance(error, RefusedError):
        return error.status
    return 400 if error.exit_code == 2 else STATUS.get(type(error), 500)


def without_paths(text: str, roots: Iterable[Path] = ()) -> str:
    """Return a text without the folders of this computer: of each absolute path only the last name stays.

    Parameters
    ----------
    text : str
    roots : iterable of Path
        Folders that are known to occur; the pattern alone does not see where a folder with blanks in its name begins.

    Examples
    --------
    >>> without_paths("/home/me/x y/song.wav: damaged; see /var/log/z.txt", [Path("/home/me/x y")])
    'song.wav: damaged; see z.txt'
    """
    for root in sorted({str(r) for r in roots} - {"/", "."}, key=len, reverse=True):
        text = text.replace(root + "/", "").replace(root + "\\", "").replace(root, Path(root).name)
    return PATHS.sub("", text)


def check_sendable(value: Any) -> None:
    """Make sure that a value can be sent as strict JSON: finite numbers, Unicode without halves of surrogate pairs.

    Raises
    ------
    ValueError, TypeError, RecursionError
        If it cannot.
    """
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def explain(error: OSError, name: str) -> NoizenetError:
    """Turn an operating-system error on a visitor's file into one line that names the file only."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"{name}: the disk of the studio is full; free some space and try again")
    if error.errno == errno.ENAMETOOLONG:
        return RefusedError(f"{name[:40]}…: the name is too long for this file system; choose a shorter one")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return RefusedError(f"{name}: there is a file where a folder is wanted; choose another name", 409)
    return NoizenetError(f"{name}: cannot be written ({error.strerror or type(error).__name__})")
