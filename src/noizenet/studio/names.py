"""The rule for names that users choose, since they become names of files and folders.

A name is Unicode in composed form (NFC), with letters of any script. It has no separators, no control characters and
none of the characters that Windows forbids. It does not begin with ``.``, ``-`` or ``~``, does not end with a dot or a
blank, is not a Windows device name, and has at most 200 bytes in UTF-8, so that common file systems have room for a
suffix.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from noizenet.base.errors import UsageError

MAX_NAME_BYTES = 200
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)
FORBIDDEN = frozenset('<>:"/\\|?*')
END = re.compile(r"[\s.]+\Z")
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of invisible characters: control, format, surrogate, private and unassigned code points."""

JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts need: the non-joiner of Persian, the joiner of Indic scripts and of emoji."""

RULE = (
    'a name has letters, digits, blanks and most signs, but none of < > : " / \\ | ? *, does not begin with . - or ~, '
    f"does not end with a dot or a blank, and has at most {MAX_NAME_BYTES} bytes"
)


def check_name(name: str, what: str = "name") -> str:
    """Return a valid name of a file or folder, in composed form.

    Examples
    --------
    >>> check_name("Björk (live)")
    'Björk (live)'
    >>> check_name("../secrets")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    noizenet.base.errors.UsageError: name '../secrets': a name has letters, ...

    Raises
    ------
    UsageError
        For an invalid name.
    """
    composed = unicodedata.normalize("NFC", name)
    if not composed or composed != safe_name(composed):
        raise UsageError(f"{what} {name[:80]!r}: {RULE}")
    return composed


def safe_name(name: str, instead: str = "") -> str:
    """Return the valid name nearest to a file's name; its suffix stays.

    Parameters
    ----------
    name : str
        One name, not a path.
    instead : str
        The result if no character is left.

    Examples
    --------
    >>> safe_name("What? (1/2).mp3"), safe_name("CON.wav"), safe_name("песня .flac")
    ('What_ (1_2).mp3', '_CON.wav', 'песня .flac')
    """
    name = "".join(c for c in name if c in JOINERS or unicodedata.category(c) not in INVISIBLE)
    name = "".join("_" if c in FORBIDDEN else c for c in unicodedata.normalize("NFC", name))
    name = END.sub("", name.lstrip())
    if name[:1] in (".", "-", "~"):
        name = "_" + name[1:]
    if DEVICES.fullmatch(name):
        name = f"_{name}"
    return _shortened(name) or instead


def numbered_name(name: str, number: int) -> str:
    """Return a name with a number before its suffix, within the maximum length.

    Examples
    --------
    >>> numbered_name("01.wav", 2)
    '01 (2).wav'
    """
    stem, suffix = _parts(name)
    return _cut(stem, MAX_NAME_BYTES - len(suffix.encode()) - len(f" ({number})")) + f" ({number}){suffix}"


def path_inside(folder: Path, *names: str) -> Path:
    """Return a path below a folder from names that are checked; links that lead out of it are refused.

    Raises
    ------
    UsageError
        If a name is invalid, or the path is outside the folder.
    """
    path = folder.joinpath(*(check_name(n) for n in names))
    try:
        outside = not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a cycle of links, or a path that is too long
        outside = True
    if outside:
        raise UsageError(f"{'/'.join(names)[:80]}: is outside the studio's data folder")
    return path


def _parts(name: str) -> tuple[str, str]:
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if stem and len(ending.encode()) <= 16 else (name, "")


def _cut(text: str, max_bytes: int) -> str:
    """Return the start of a text with at most `max_bytes` bytes, in whole characters."""
    return END.sub("", text.encode()[: max(0, max_bytes)].decode("utf-8", "ignore"))


def _shortened(name: str) -> str:
    if len(name.encode("utf-8", "ignore")) <= MAX_NAME_BYTES:
        return name
    stem, suffix = _parts(name)
    return _cut(stem, MAX_NAME_BYTES - len(suffix.encode())) + suffix
