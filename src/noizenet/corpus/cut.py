"""Cut a long recording into pieces, some of which can be held out for validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from noizenet.audio.write import from_pcm16
from noizenet.base.names import library_path
from noizenet.corpus.fingerprint import explain_read_errors
from noizenet.corpus.split import HELD_OUT_SHARE, MIN_GROUPS

LONG_S = 180.0
"""Recordings shorter than this are not cut."""
PIECE_S, MIN_PIECES = 300.0, 10
GAP_S = 5.0
"""Length of the gap left out between two splits, so that they share no music."""
SEARCH_SHARE, SEARCH_S, QUIET_S = 0.1, 10.0, 0.1
"""A cut moves to the quietest tenth of a second within a tenth of a piece, 10 s at most."""


@dataclass(frozen=True)
class Piece:
    """A piece of a recording; `start` and `frames` count samples per channel, levels are linear."""

    start: int
    frames: int
    split: str
    peak: float
    rms: float


def cut(path: Path, *, silent: float = 0.0) -> list[Piece]:
    """Cut a prepared recording at quiet positions into pieces of about equal length.

    The first pieces are for training, the last two tenths for validation and test. Each split is one contiguous
    part of the recording, and :data:`GAP_S` seconds are left out between two splits.

    Parameters
    ----------
    path : Path
        A 16-bit file of at least :data:`LONG_S` seconds.
    silent : float
        Pieces whose peak is at or below this linear level are left out.

    Returns
    -------
    list of Piece
        Fewer than :data:`~noizenet.corpus.split.MIN_GROUPS` if nearly all of the recording is silent.
    """
    import soundfile

    with explain_read_errors(path), soundfile.SoundFile(library_path(path)) as handle:
        rate, total = handle.samplerate, handle.frames
        count = max(MIN_PIECES, int(np.ceil(total / rate / PIECE_S)))
        length = total / count
        radius = int(min(SEARCH_S * rate, SEARCH_SHARE * length))
        cuts = [_quietest(handle, round(i * length) - radius, round(i * length) + radius) for i in range(1, count)]
        pieces = [_measure(handle, low, high) for low, high in pairwise([0, *cuts, total])]
        nonsilent = [p for p in pieces if p.peak > silent]
        if len(nonsilent) < MIN_GROUPS:
            return nonsilent
        return [
            _measure(handle, p.start, p.start + p.frames, p.split)
            for p in _assign_splits(nonsilent, round(GAP_S * rate))
        ]


def _quietest(handle: Any, low: int, high: int) -> int:
    """Return the middle of the quietest window of :data:`QUIET_S` between two sample positions."""
    size = max(1, round(QUIET_S * handle.samplerate))
    handle.seek(low)
    mono = from_pcm16(handle.read(high - low, dtype="int16", always_2d=True)).mean(1)
    if len(mono) <= size:
        return (low + high) // 2
    power = np.concatenate([[0.0], np.cumsum(np.square(mono, dtype=np.float64))])
    level = power[size:] - power[:-size]
    return int(low + np.argmin(level) + size // 2)


def _measure(handle: Any, low: int, high: int, split: str = "") -> Piece:
    peak = squares = total = 0.0
    handle.seek(low)
    count = (high - low) * handle.channels
    for start in range(low, high, 1 << 20):
        block = from_pcm16(handle.read(min(1 << 20, high - start), dtype="int16", always_2d=True)).ravel()
        peak = max(peak, float(np.abs(block).max(initial=0)))
        squares += float(np.dot(block, block))
        total += float(block.sum(dtype=np.float64))
    rms = np.sqrt(max(squares / count - (total / count) ** 2, 0.0))
    return Piece(low, high - low, split, peak, float(rms))


def _assign_splits(pieces: Sequence[Piece], gap: int) -> list[Piece]:
    """Assign pieces to the splits in order; leave out `gap` samples at the start of each split but the first."""
    held = max(1, round(HELD_OUT_SHARE * len(pieces)))
    splits = ["train"] * (len(pieces) - 2 * held) + ["validation"] * held + ["test"] * held
    assigned: list[Piece] = []
    for piece, split in zip(pieces, splits, strict=True):
        skipped = gap if assigned and assigned[-1].split != split else 0
        assigned.append(replace(piece, split=split, start=piece.start + skipped, frames=piece.frames - skipped))
    return assigned
