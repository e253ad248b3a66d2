"""Named conversions between units."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def amplitude_to_db(amplitude: ArrayLike, floor_db: float = -120.0) -> NDArray[np.float64]:
    """Convert linear amplitude to decibels relative to full scale.

    Examples
    --------
    >>> float(amplitude_to_db(1.0)), round(float(amplitude_to_db(0.5)), 2)
    (0.0, -6.02)
    """
    least = 10.0 ** (floor_db / 20.0)
    return np.asarray(20.0 * np.log10(np.maximum(np.abs(np.asarray(amplitude, np.float64)), least)))


def db_to_amplitude(level_db: ArrayLike) -> NDArray[np.float64]:
    """Convert decibels relative to full scale to linear amplitude."""
    return np.asarray(10.0 ** (np.asarray(level_db, np.float64) / 20.0))


def midi_to_hz(note: float) -> float:
    """Convert a MIDI note number to Hz (A4 = note 69 = 440 Hz).

    Examples
    --------
    >>> midi_to_hz(69), round(midi_to_hz(60), 2)
    (440.0, 261.63)
    """
    return float(440.0 * 2.0 ** ((note - 69.0) / 12.0))


def format_seconds(seconds: float) -> str:
    """Format a duration as h:mm:ss or m:ss.

    Examples
    --------
    >>> format_seconds(75), format_seconds(3700)
    ('1:15', '1:01:40')
    """
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"
