"""Scales, chords and melodies as numbers."""

from __future__ import annotations

import numpy as np

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "pentatonic": (0, 2, 4, 7, 9),
}


def degree_to_note(root: int, scale: str, degree: int) -> int:
    """Return the MIDI note of a scale degree; degrees outside 0 to the scale's size are in other octaves.

    Examples
    --------
    >>> [degree_to_note(60, "major", d) for d in (0, 2, 4, 7, -1)]
    [60, 64, 67, 72, 59]
    """
    steps = SCALES[scale]
    octave, index = divmod(degree, len(steps))
    return root + 12 * octave + steps[index]


def triad(root: int, scale: str, degree: int) -> list[int]:
    """Return the three notes of the chord on a scale degree."""
    return [degree_to_note(root, scale, degree + third) for third in (0, 2, 4)]


def melody(rng: np.random.Generator, length: int, span: int = 7) -> list[int]:
    """Return a motif of scale degrees: mostly steps, some leaps, inside ±`span`."""
    degrees = [int(rng.choice([0, 2, 4]))]
    for _ in range(length - 1):
        move = int(rng.choice([-2, -1, -1, 0, 1, 1, 2, 3], p=[0.1, 0.2, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1]))
        degrees.append(int(np.clip(degrees[-1] + move, -span, span)))
    return degrees


def vary(rng: np.random.Generator, motif: list[int], amount: float = 0.25) -> list[int]:
    """Return a variation of a motif: each note is changed with probability `amount`."""
    return [d + int(rng.integers(-1, 2)) if rng.random() < amount else d for d in motif]
