"""Errors that are reported to the user.

Every message names the input, what was expected and the remedy. The command line prints it as one line and exits with
``exit_code``: 2 for wrong use, 1 for a failure.
"""

from __future__ import annotations


class NoizenetError(Exception):
    """A failure with a message of one line for the user."""

    exit_code = 1


class UsageError(NoizenetError):
    """The request itself is invalid."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration has an unknown key, a wrong type or a value out of range."""


class AudioError(NoizenetError):
    """A recording cannot be read or written."""


class NoSuchRecordingError(AudioError, UsageError):
    """The recording does not exist."""


class CorpusError(NoizenetError):
    """A corpus folder is missing, damaged or too small for the request."""


class ModelError(NoizenetError):
    """A model folder lacks a file, or is damaged, modified or of a newer format."""


class TrainingError(NoizenetError):
    """Training cannot continue."""


class FetchError(NoizenetError):
    """A download failed, or its content is not the expected one."""


class DiskFullError(NoizenetError):
    """The disk is full."""


class LockedError(NoizenetError):
    """Another process has locked the folder."""


class InterruptedRunError(NoizenetError):
    """The user interrupted a long run; it can be resumed."""

    exit_code = 130


def suggest(name: str, known: list[str]) -> str:
    r"""Return a hint for a mistyped name.

    Parameters
    ----------
    name : str
        The given name.
    known : list of str
        The valid names.

    Returns
    -------
    str
        "did you mean ...?" if a name is similar, else the list of known names. If the two look the same (for instance
        composed and decomposed accents), both are shown with escapes.

    Examples
    --------
    >>> suggest("lsmt", ["lstm", "gru"])
    "did you mean 'lstm'?"
    >>> suggest("zzz", ["lstm", "gru"])
    'known: gru, lstm'
    >>> suggest("\u00e9", ["e\u0301"])
    "did you mean 'e\\u0301'? ('\\xe9' looks the same but has other characters)"
    """
    import difflib

    twin = next((k for k in known if k != name and _looks(k) == _looks(name)), None)
    if twin is not None:
        return f"did you mean {twin!a}? ({name!a} looks the same but has other characters)"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + (", ".join(sorted(known)) or "none")


def _looks(text: str) -> str:
    """Return the visible form of a text: composed, without invisible characters and outer blanks."""
    import unicodedata

    kept = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c)[0] != "C")
    return " ".join(kept.split())
