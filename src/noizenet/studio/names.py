"""The one rule for names that visitors choose, since they become names of files and folders.

A name is Unicode in composed form (NFC), letters of every script included. It has no separators, no control
characters, none of the characters that Windows refuses, begins neither with a dot nor with ``-`` or ``~``, ends neither
in a dot nor in a blank, is none of Windows' device names, and has at most 200 bytes in UTF-8, which every common file
system holds with an ending added.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from noizenet.base.errors import UsageError

MOST_BYTES = 200
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)
FORBIDDEN = frozenset('<>:"/\\|?*')
END = re.compile(r"[\s.]+\Z")
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what cannot be seen: controls, formats, surrogates, private and unassigned code points."""

JOINERS = frozenset("\u200c\u200d")
"""Format characters that spelling needs: Persian's non-joiner, the joiner of Indic scripts and of emoji."""

RULE = (
    'a name has letters, digits, blanks and most signs, but none of < > : " / \\ | ? *, does not begin with . - or ~, '
    f"does not end with a dot or a blank, and has at most {MOST_BYTES} bytes"
)


def checked(name: str, what: str = "name") -> str:
    """Return a name that can be one file's or folder's, in composed form.

    Examples
    --------
    >>> checked("Björk (live)")
    'Björk (live)'
    >>> checked("../secrets")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    noizenet.base.errors.UsageError: name '../secrets': a name has letters, ...

    Raises
    ------
    UsageError
        For a name that breaks the rule of this module.
    """
    composed = unicodedata.normalize("NFC", name)
    if not composed or composed != safe_name(composed):
        raise UsageError(f"{what} {name[:80]!r}: {RULE}")
    return composed


def safe_name(name: str, instead: str = "") -> str:
    """Return the allowed name that is nearest to what a visitor's file is called; its ending stays.

    Parameters
    ----------
    name : str
        One name, not a path.
    instead : str
        What a name is called of which nothing is left.

    Examples
    --------
    >>> safe_name("What? (1/2).mp3"), safe_name("CON.wav"), safe_name("песня .flac")
    ('What_ (1_2).mp3', '_CON.wav', 'песня .flac')
    """
    kept = "".join(c for c in name if c in JOINERS or unicodedata.category(c) not in INVISIBLE)
    kept = "".join("_" if c in FORBIDDEN else c for c in unicodedata.normalize("NFC", kept))
    kept = END.sub("", kept.lstrip())
    if kept[:1] in (".", "-", "~"):
        kept = "_" + kept[1:]
    if DEVICES.fullmatch(kept):
        kept = f"_{kept}"
    return _shortened(kept) or instead


def numbered(name: str, number: int) -> str:
    """Return a name with a number before its ending, within the length that is allowed.

    Examples
    --------
    >>> numbered("01.wav", 2)
    '01 (2).wav'
    """
    stem, suffix = _parts(name)
    return _cut(stem, MOST_BYTES - len(suffix.encode()) - len(f" ({number})")) + f" ({number}){suffix}"


def inside(folder: Path, *names: str) -> Path:
    """Return a path below a folder, made of checked names; links that lead out of it are refused.

    Raises
    ------
    UsageError
        If a name is none, or the path would lie elsewhere.
    """
    path = folder.joinpath(*(checked(n) for n in names))
    try:
        leads_out = not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle, or a path that this system cannot hold
        leads_out = True
    if leads_out:
        raise UsageError(f"{'/'.join(names)[:80]}: lies outside of the studio's data")
    return path


def _parts(name: str) -> tuple[str, str]:
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if stem and len(ending.encode()) <= 16 else (name, "")


def _cut(text: str, most: int) -> str:
    """Return the beginning that has at most so many bytes, whole characters only."""
    return END.sub("", text.encode()[: max(0, most)].decode("utf-8", "ignore"))


def _shortened(name: str) -> str:
    if len(name.encode("utf-8", "ignore")) <= MOST_BYTES:
        return name
    stem, suffix = _parts(name)
    return _cut(stem, MOST_BYTES - len(suffix.encode())) + suffix
