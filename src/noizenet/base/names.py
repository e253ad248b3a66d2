"""File names as text: any valid name, escaped for tables, JSON and terminals."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path, PurePath

from noizenet.base.errors import UsageError

LONGEST_PATH = 1_000
"""Bytes; libsndfile accepts 1,023, and temporary names are longer than final ones."""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_LONG = {v: k for k, v in _SHORT.items()}
_ESCAPE = re.compile(r"\\(?:\\|n|r|t|x[0-9a-f]{2}|u[0-9a-f]{4})")


def escape_name(name: str) -> str:
    r"""Return a file name as printable text that is valid UTF-8, reversibly.

    Parameters
    ----------
    name : str
        As returned by Python's file functions: bytes that are not UTF-8 are lone surrogates.

    Returns
    -------
    str
        The name with control characters, line separators, lone surrogates and backslashes escaped as in Python's
        strings; a byte that is not UTF-8 becomes ``\xNN``.

    Examples
    --------
    >>> print(escape_name("cover-\udce9.jpg"), escape_name("a\nb"), escape_name("é音🎵"))
    cover-\xe9.jpg a\nb é音🎵
    """
    return "".join(map(_escape, name))


def unescape_name(text: str) -> str:
    """Return the name from the result of :func:`escape_name`."""
    return _ESCAPE.sub(_unescape, text)


def relative_name(path: PurePath, folder: PurePath) -> str:
    """Return `path` relative to `folder`, with slashes on every system, escaped."""
    return escape_name(path.relative_to(folder).as_posix())


def library_path(path: Path) -> str | bytes:
    """Return a path as C libraries expect it: bytes, UTF-8 or not, except on Windows.

    Raises
    ------
    UsageError
        If it is longer than libsndfile accepts.
    """
    found = str(path) if os.name == "nt" else os.fsencode(path)
    if len(found) > LONGEST_PATH:
        raise UsageError(
            f"{path}: its path is longer than the {LONGEST_PATH} bytes that libsndfile accepts; "
            "choose a folder with a shorter path"
        )
    return found


def plain_text(text: str) -> str:
    r"""Return text of a file's tags as one printable line of valid UTF-8.

    Examples
    --------
    >>> print(plain_text(" AC/DC\n\x00live\ud800 "))
    AC/DC live�
    """
    kept = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else " " if _breaks(c) else c for c in text)
    return " ".join(kept.split())


def genre_name(folder: str) -> str:
    """Return the genre of a folder's name.

    Names that look the same are one genre: composed (NFC) and decomposed (NFD) letters, outer blanks.

    Examples
    --------
    >>> genre_name("Samba/Bossa: nova, 60s > ") == "Samba/Bossa: nova, 60s >"
    True
    >>> genre_name("Cafe\u0301") == genre_name("Caf\u00e9")
    True
    """
    return escape_name(unicodedata.normalize("NFC", folder).strip())


def _breaks(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")


def _escape(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # Python's surrogate for a byte that is not UTF-8
        return f"\\x{number - 0xDC00:02x}"
    if 0xD800 <= number <= 0xDFFF or _breaks(character):
        return f"\\u{number:04x}"
    return character


def _unescape(found: re.Match[str]) -> str:
    text = found[0]
    if text in _LONG:
        return _LONG[text]
    number = int(text[2:], 16)
    return chr(number + 0xDC00 if text[1] == "x" else number)
