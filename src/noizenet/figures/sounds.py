"""Audio examples of lessons 11 and 12."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.audio.write import write
from noizenet.course import generating, sound

F64 = NDArray[np.float64]


def rising(rate: int = 8000, seconds: float = 4.0) -> F64:
    """Return a tone from 200 Hz to `rate`, sampled without a filter: above rate / 2 it is an alias."""
    t = np.arange(round(rate * seconds)) / rate
    return 0.5 * np.sin(2 * np.pi * (200 * t + (rate - 200) * t**2 / (2 * seconds)))


def in_four_bits(music: F64) -> F64:
    """Return music, then its linear quantisation to 4 bits, then its mu-law quantisation to 4 bits."""
    linear = sound.quantise(music, 4)
    companded = sound.mu_law_inverse(sound.quantise(sound.mu_law(music), 4))
    return np.concatenate([music, linear, companded])


def note(rate: int = 22_050) -> F64:
    """Return a note of 440 Hz and four harmonics, with attack, decay, sustain and release."""
    shape = sound.adsr(rate, 0.05, 0.3, 0.5, 0.6, 1.5)
    tone = sum(sound.sine(440 * k, len(shape) / rate, rate)[: len(shape)] / k for k in range(1, 6))
    return np.asarray(0.3 * shape * tone)


def write_sounds(music: Waveform, folder: Path) -> list[Path]:
    """Write the lessons' audio examples; return the files."""
    rate = 8000
    string = generating.String.tuned(440, rate)
    middle = music.samples[music.sample_rate : 3 * music.sample_rate].reshape(-1).astype(np.float64)
    plucked = (0.0, 0.3)
    made = {
        "11-alias": (rising(rate), rate),
        "11-bits": (in_four_bits(middle), music.sample_rate),
        "11-note": (note(), 22_050),
        "12-mean": (string.play(3 * rate, sample=False, start=plucked), rate),
        "12-drawn": (string.play(3 * rate, start=plucked), rate),
    }
    files = []
    for name, (samples, hertz) in made.items():
        files.append(folder / f"{name}.ogg")
        write(files[-1], Waveform(np.clip(samples, -1, 1).astype(np.float32), hertz))
    return files
