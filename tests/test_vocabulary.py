"""One vocabulary: the words of this house that the field has terms for do not come back as names."""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSE_WORDS = {
    "heard": "input, features or prompt",
    "hear": "input or play",
    "hears": "input or play",
    "told": "condition, or reported",
    "untold": "unconditioned",
    "unsaid": "skipped",
    "tell": "report or embed",
    "say": "project or report",
    "says": "project or report",
    "said": "reported",
    "speak": "project",
    "spoken": "format or speech",
    "spell": "format",
    "settle": "apply gates, or calibrate",
    "settled": "calibrated",
    "settling": "calibration",
    "heed": "apply",
    "keeper": "monitor",
    "ofmodel": "model_metrics",
    "surprise": "nll, or reset_state",
    "wish": "request or condition",
    "granule": "frame_multiple",
    "mishear": "random_tilt",
    "mishearing": "random_tilt",
    "oddities": "warnings",
    "likeliest": "mode",
    "foresee": "lpc_predict",
    "timeless": "uncond_beat",
    "anyone": "uncond_genre",
    "texture": "noise_fill",
    "duel": "ab_test",
    "duels": "ab_tests",
    "ears": "listeners",
    "shield": "middleware",
    "lanes": "rows of a batch, or vector lanes of a processor",
    "deal": "assign",
    "dealt": "assigned",
    "dealer": "assignment",
    "sounding": "nonsilent",
    "evidence": "inputs",
    "backdrop": "reference set",
    "blind": "insensitive",
}
"""A word of this house → the field's."""
ALLOWED = {
    ("base/renamed.py", "*"),  # names of earlier versions
    ("kernels/panel.py", "lanes"),  # of a vector register
    ("audio/structure_frames.py", "granule"),  # the granule position of Ogg pages
    ("audio/source.py", "tell"),  # the method of file objects
    ("audio/decode_av.py", "tell"),  # the method of file objects
    ("training/encoded.py", "tell"),  # of a file object
}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def names(source: str) -> set[str]:
    """Return the identifiers of a file of Python."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.string for t in tokens if t.type == tokenize.NAME and not keyword.iskeyword(t.string)}


def words(name: str) -> set[str]:
    """Return the words of an identifier.

    >>> sorted(words("_tellBadLinks_to"))
    ['bad', 'links', 'tell', 'to']
    """
    return {w.lower() for w in WORD.findall(name)}


def house_words(source: str, path: str) -> list[str]:
    """Return `name: better` for each identifier of a file that has a word of this house in it."""
    return [
        f"{name}: {HOUSE_WORDS[word]}"
        for name in sorted(names(source))
        for word in sorted(words(name) & HOUSE_WORDS.keys())
        if (path, "*") not in ALLOWED and (path, word) not in ALLOWED
    ]


FILES = sorted(p.relative_to(ROOT / "src" / "noizenet").as_posix() for p in (ROOT / "src" / "noizenet").rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_no_house_word_is_a_name(path: str) -> None:
    assert not house_words((ROOT / "src" / "noizenet" / path).read_text(encoding="utf-8"), path)


def test_a_house_word_is_found() -> None:
    assert house_words("def _tell(heardSoFar, SURPRISE_EVERY): pass", "x.py") == [
        "SURPRISE_EVERY: nll, or reset_state", "_tell: report or embed", "heardSoFar: input, features or prompt",
    ]  # fmt: skip
    assert not house_words("'told'; a_tolder = 1  # told", "x.py")


@pytest.mark.parametrize("path", FILES)
def test_no_file_is_named_by_a_house_word(path: str) -> None:
    assert not set(re.findall(r"[a-z]+", path)) & HOUSE_WORDS.keys()
