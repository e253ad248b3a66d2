"""What can go wrong, as a user should hear it.

Every message says what was given, what was expected and what to do. The command line prints it as one line
and leaves with ``exit_code``: 2 for wrong use, 1 for a failure.
"""

from __future__ import annotations


class NoizenetError(Exception):
    """A failure that is explained to the user in one line."""

    exit_code = 1


class UsageError(NoizenetError):
    """The request itself cannot be carried out as given."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration has an unknown key, a wrong type or a value out of range."""


class AudioError(NoizenetError):
    """A recording cannot be read or written."""


class NoSuchRecordingError(AudioError, UsageError):
    """There is no file of the name that was given."""


class CorpusError(NoizenetError):
    """A corpus folder is missing, damaged or too small for the request."""


class ModelError(NoizenetError):
    """A model folder is missing a file, damaged, tampered with or too new."""


class TrainingError(NoizenetError):
    """Training cannot go on."""


class FetchError(NoizenetError):
    """A download failed, or what came is not what was asked for."""


class DiskFullError(NoizenetError):
    """There is no room left to write."""


class LockedError(NoizenetError):
    """Another process works on the same folder."""


class InterruptedRunError(NoizenetError):
    """The user stopped a long piece of work; it can go on."""

    exit_code = 130


def suggest(name: str, known: list[str]) -> str:
    r"""Return a hint for a mistyped name.

    Parameters
    ----------
    name : str
        What was given.
    known : list of str
        What exists.

    Returns
    -------
    str
        "did you mean ...?" when something is close, else the list of known names. Where the two look the same (an
        accent as a sign of its own, say), it is told how each is spelt.

    Examples
    --------
    >>> suggest("lsmt", ["lstm", "gru"])
    "did you mean 'lstm'?"
    >>> suggest("zzz", ["lstm", "gru"])
    'known: gru, lstm'
    >>> suggest("\u00e9", ["e\u0301"])
    "did you mean 'e\\u0301'? ('\\xe9' looks the same and is spelt otherwise)"
    """
    import difflib

    twin = next((k for k in known if k != name and _looks(k) == _looks(name)), None)
    if twin is not None:
        return f"did you mean {twin!a}? ({name!a} looks the same and is spelt otherwise)"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + (", ".join(sorted(known)) or "none")


def _looks(text: str) -> str:
    """Return what of a text can be seen: composed, without invisible characters and blanks at its ends."""
    import unicodedata

    kept = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c)[0] != "C")
    return " ".join(kept.split())
