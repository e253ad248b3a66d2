"""Fades around gaps, which avoid clicks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from noizenet.audio.frames import DecodedBlock, Gap

FADE_S = 0.005
MUTED_S = 0.03
"""Muted on both sides of a gap in lossy codecs: this audio comes from damaged bytes or overlaps a missing frame."""


def faded(blocks: Iterator[DecodedBlock | Gap], *, lossy: bool) -> Iterator[DecodedBlock | Gap]:
    """Yield blocks with fades at the edges of gaps; a gap at the end gets none.

    Parameters
    ----------
    blocks : iterator of DecodedBlock or Gap
    lossy : bool
        Whether frames overlap, so that those next to a gap are damaged too.
    """
    held: DecodedBlock | None = None
    after_gap = damaged = False
    for block in blocks:
        if isinstance(block, Gap):
            if held is not None:
                yield held if block.at_end else _fade(held, lossy=lossy and not block.only_stamps, out=True)
                held = None
            after_gap, damaged = not block.at_end, not block.only_stamps
            yield block
            continue
        if held is not None:
            yield held
        held = _fade(block, lossy=lossy and damaged, out=False) if after_gap and len(block.samples) else block
        after_gap = after_gap and not len(block.samples)
    if held is not None:
        yield held


def _fade(block: DecodedBlock, *, lossy: bool, out: bool) -> DecodedBlock:
    """Fade the end (`out`) or the start of a block."""
    muted, fade = round(MUTED_S * block.rate) if lossy else 0, max(1, round(FADE_S * block.rate))
    ramp = np.concatenate([np.zeros(muted), np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade) ** 2])
    ramp = ramp[: len(block.samples), None].astype(np.float32)
    samples = block.samples.copy()
    edge = samples[::-1] if out else samples
    edge[: len(ramp)] *= ramp
    return block._replace(samples=samples)
