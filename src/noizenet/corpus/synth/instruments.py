"""Instruments: functions from a note to its samples, float32 [N], with the release included."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter

from noizenet.audio.units import midi_to_hz

Samples = NDArray[np.float32]
Instrument = Callable[[float, float, int], Samples]
"""(MIDI note, seconds held, sample rate) → samples."""


class Adsr(NamedTuple):
    """Attack, decay and release in seconds, sustain as a linear level."""

    attack_s: float
    decay_s: float
    sustain: float
    release_s: float


def envelope(shape: Adsr, held_s: float, rate: int) -> Samples:
    """Return an ADSR envelope in [0, 1]: `held_s` seconds of gate, then the release.

    Examples
    --------
    >>> e = envelope(Adsr(0.01, 0.1, 0.5, 0.2), held_s=1.0, rate=1000)
    >>> len(e), float(e.max()), float(e[500])
    (1200, 1.0, 0.5)
    """
    held = max(2, int(held_s * rate))
    tail = max(2, int(shape.release_s * rate))
    times = [
        0.0,
        shape.attack_s,
        shape.attack_s + shape.decay_s,
        max(held_s, shape.attack_s + shape.decay_s + 1e-6),
    ]
    gate = np.interp(np.arange(held) / rate, times, [0.0, 1.0, shape.sustain, shape.sustain])
    fall = np.linspace(1.0, 0.0, tail) ** 2 * gate[-1]
    return np.concatenate([gate, fall]).astype(np.float32)


def _partials(
    note: float, count: int, rate: int, weights: Callable[[int], float], shape: Samples, detune: float = 0.0
) -> Samples:
    """Sum harmonics below the Nyquist frequency under an envelope."""
    hz = midi_to_hz(note) * 2 ** (detune / 1200)
    phase = 2 * np.pi * hz / rate * np.arange(len(shape))
    out = np.zeros(len(shape), np.float32)
    for k in range(1, min(count, int(0.45 * rate / hz)) + 1):
        weight = weights(k)
        if weight:
            out += (weight * np.sin(k * phase)).astype(np.float32)
    return out * shape


def square_lead(note: float, held_s: float, rate: int) -> Samples:
    """Band-limited square wave with a crisp attack: the sound of old game machines."""
    shape = envelope(Adsr(0.004, 0.06, 0.7, 0.03), held_s, rate)
    return 0.9 * _partials(note, 25, rate, lambda k: 1 / k if k % 2 else 0.0, shape)


def pulse_bass(note: float, held_s: float, rate: int) -> Samples:
    """Triangle-like bass with a short release."""
    shape = envelope(Adsr(0.003, 0.1, 0.8, 0.04), held_s, rate)
    return 1.1 * _partials(note, 15, rate, lambda k: (1 if k % 4 == 1 else -1) / k**2 if k % 2 else 0.0, shape)


def pad(note: float, held_s: float, rate: int) -> Samples:
    """Two detuned soft saws that swell slowly."""
    shape = envelope(Adsr(1.2, 0.8, 0.8, 1.8), held_s, rate)
    soft = [_partials(note, 9, rate, lambda k: 1 / k**1.7, shape, detune=cents) for cents in (-6.0, 5.0)]
    return 0.45 * (soft[0] + soft[1])


def bell(note: float, held_s: float, rate: int) -> Samples:
    """Frequency-modulated bell (J. Chowning, 1973): inharmonic and long."""
    shape = envelope(Adsr(0.005, 1.6, 0.05, 1.5), held_s, rate)
    time = np.arange(len(shape)) / rate
    hz = midi_to_hz(note)
    index = 2.2 * np.exp(-time / 0.8)
    tone = np.sin(2 * np.pi * hz * time + index * np.sin(2 * np.pi * 2.76 * hz * time))
    return 0.5 * tone.astype(np.float32) * shape


def pluck(note: float, held_s: float, rate: int) -> Samples:
    """Plucked string (K. Karplus and A. Strong, 1983), as one linear filter."""
    shape = envelope(Adsr(0.001, 0.01, 1.0, 0.25), held_s, rate)
    period = max(3, round(rate / midi_to_hz(note) - 0.5))
    burst = np.zeros(len(shape))
    burst[:period] = np.random.default_rng(int(note * 8)).uniform(-1, 1, period)[: len(shape)]
    burst[:period] -= burst[:period].mean()
    feedback = np.zeros(period + 2)
    feedback[0], feedback[period], feedback[period + 1] = 1.0, -0.498, -0.498
    string = lfilter([1.0], feedback, burst)
    return np.asarray(0.9 * string / max(1e-9, np.abs(string).max()) * shape, np.float32)


def acid_bass(note: float, held_s: float, rate: int) -> Samples:
    """Saw through a falling low-pass: the filter is done by letting high partials decay faster."""
    shape = envelope(Adsr(0.003, 0.12, 0.6, 0.03), held_s, rate)
    time = np.arange(len(shape)) / rate
    hz = midi_to_hz(note)
    out = np.zeros(len(shape), np.float32)
    for k in range(1, min(20, int(0.45 * rate / hz)) + 1):
        out += (np.exp(-time * k * 2.2) / k * np.sin(2 * np.pi * hz * k * time)).astype(np.float32)
    return 1.2 * out * shape


def stab(note: float, held_s: float, rate: int) -> Samples:
    """Short bright chord tone."""
    shape = envelope(Adsr(0.003, 0.09, 0.2, 0.08), held_s, rate)
    return 0.7 * _partials(note, 14, rate, lambda k: 1 / k, shape)


def kick(note: float, held_s: float, rate: int) -> Samples:
    """Bass drum: a sine that falls from 180 to 48 Hz."""
    time = np.arange(int(0.28 * rate)) / rate
    phase = 2 * np.pi * (48 * time + 132 * 0.035 * (1 - np.exp(-time / 0.035)))
    return (np.sin(phase) * np.exp(-time / 0.09)).astype(np.float32)


def snare(note: float, held_s: float, rate: int) -> Samples:
    """Snare drum: a short tone and a noise burst."""
    time = np.arange(int(0.2 * rate)) / rate
    noise = np.random.default_rng(7).uniform(-1, 1, len(time))
    tone = 0.5 * np.sin(2 * np.pi * 190 * time) * np.exp(-time / 0.04)
    return (tone + 0.6 * noise * np.exp(-time / 0.06)).astype(np.float32)


def hat(note: float, held_s: float, rate: int) -> Samples:
    """Hi-hat: high-passed noise; `note` above 60 rings longer (open)."""
    length = 0.18 if note > 60 else 0.05
    time = np.arange(int(length * rate)) / rate
    noise = np.random.default_rng(11).uniform(-1, 1, len(time))
    b, a = butter(2, min(0.9, 6000 / (rate / 2)), "high")
    return np.asarray(0.6 * lfilter(b, a, noise) * np.exp(-time / (length / 4)), np.float32)


INSTRUMENTS: dict[str, Instrument] = {
    f.__name__: f for f in (square_lead, pulse_bass, pad, bell, pluck, acid_bass, stab, kick, snare, hat)
}
