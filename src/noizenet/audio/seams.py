"""Gaps without clicks: the sound fades out before a gap and in after it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from noizenet.audio.frames import Gap, Piece

FADE_S = 0.005
MUTED_S = 0.03
"""Of lossy codecs: what lies this near a gap was decoded from damaged bytes, or laid over a frame that is missing."""


def faded(pieces: Iterator[Piece | Gap], *, lossy: bool) -> Iterator[Piece | Gap]:
    """Yield pieces as they are, but for the edges of gaps in the middle, which are faded.

    Parameters
    ----------
    pieces : iterator of Piece or Gap
    lossy : bool
        Whether frames overlap, so that those beside a gap are not as they were.
    """
    held: Piece | None = None
    after_gap = torn = False
    for piece in pieces:
        if isinstance(piece, Gap):
            if held is not None:
                yield held if piece.at_end else _fade(held, lossy=lossy and not piece.only_stamps, out=True)
                held = None
            after_gap, torn = not piece.at_end, not piece.only_stamps
            yield piece
            continue
        if held is not None:
            yield held
        held = _fade(piece, lossy=lossy and torn, out=False) if after_gap and len(piece.samples) else piece
        after_gap = after_gap and not len(piece.samples)
    if held is not None:
        yield held


def _fade(piece: Piece, *, lossy: bool, out: bool) -> Piece:
    """Fade the end (`out`) or the beginning of a piece."""
    muted, fade = round(MUTED_S * piece.rate) if lossy else 0, max(1, round(FADE_S * piece.rate))
    ramp = np.concatenate([np.zeros(muted), np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade) ** 2])
    ramp = ramp[: len(piece.samples), None].astype(np.float32)
    samples = piece.samples.copy()
    edge = samples[::-1] if out else samples
    edge[: len(ramp)] *= ramp
    return piece._replace(samples=samples)
