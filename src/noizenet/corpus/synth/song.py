"""Render notes to samples, bar by bar, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from noizenet.corpus.synth.instruments import INSTRUMENTS
from noizenet.corpus.synth.styles import STYLES

GAIN = 0.34
FADE_S = 1.5
ROOM = 0.002
"""Noise floor, -54 dB, as in a recording. A network sampled after digital silence would stay silent."""


def render(style: str, seed: int, seconds: float, sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Render a procedural song.

    Parameters
    ----------
    style : str
        A name of :data:`noizenet.corpus.synth.styles.STYLES`.
    seed : int
        Random seed. A longer song with the same seed starts with the shorter one, apart from its fade-out.
    seconds : float
        Length.
    sample_rate : int
        Hz.

    Yields
    ------
    ndarray, float32 [n]
        A bar at a time, in (-1, 1).
    """
    song = STYLES[style](seed)
    beat = 60.0 / song.bpm

    @lru_cache(maxsize=512)
    def note(instrument: str, pitch: float, held: float) -> NDArray[np.float32]:
        return INSTRUMENTS[instrument](pitch, held, sample_rate)

    total, fade = int(seconds * sample_rate), int(FADE_S * sample_rate)
    done = number = 0
    tail = np.zeros(0, np.float32)
    while done < total:
        # Positions are computed from the bar number, not from a running sum, to avoid drift.
        begin, end = (round((number + k) * song.beats * beat * sample_rate) for k in (0, 1))
        size = end - begin
        mix = np.zeros(max(size + 8 * sample_rate, len(tail)), np.float32)
        mix[: len(tail)] = tail
        last = size
        for n in song.bar(number):
            sound = note(n.instrument, n.pitch, round(n.length * beat, 4))
            at = round(n.start * beat * sample_rate)
            mix[at : at + len(sound)] += n.level * sound[: len(mix) - at]
            last = max(last, at + len(sound))
        tail = mix[size : max(last, len(tail))].copy()
        room = np.random.default_rng([seed, 1, number]).normal(0.0, ROOM, size).astype(np.float32)
        bar = (np.tanh(GAIN * mix[:size]) + room)[: total - done]
        left = total - done - np.arange(len(bar))
        yield bar * np.minimum(1.0, left / max(1, fade)).astype(np.float32)
        done += len(bar)
        number += 1
