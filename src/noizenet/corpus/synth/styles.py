"""Four easily distinguished styles. A style maps a bar number to notes.

Each style is a class with a tempo range, a bar length in beats, and ``bar(number)``, which returns the
notes that start in that bar. All randomness comes from the song's generator at construction and from
generators derived from the bar number, so that a song is the same at any length.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from noizenet.corpus.synth.theory import degree_to_note, melody, triad, vary


class Note(NamedTuple):
    """One note: start and length in beats from the bar's start, loudness in [0, 1]."""

    instrument: str
    pitch: float
    start: float
    length: float
    level: float


class Style:
    """A song in one style. Subclasses define the notes of a bar."""

    name: ClassVar[str] = ""
    tempo: ClassVar[tuple[int, int]] = (100, 120)
    beats: ClassVar[int] = 4
    scale: ClassVar[str] = "major"
    chords: ClassVar[tuple[tuple[int, ...], ...]] = ((0, 3, 4, 0),)

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng(seed)
        self.bpm = int(rng.integers(self.tempo[0], self.tempo[1] + 1))
        self.root = int(rng.integers(55, 66))
        self.progression = self.chords[int(rng.integers(len(self.chords)))]
        self.motifs = [melody(rng, 8) for _ in range(2)]
        self.rhythm = rng.random(16)

    def bar(self, number: int) -> list[Note]:
        """Return the notes that start in bar `number`."""
        raise NotImplementedError

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number])

    def _chord(self, number: int) -> int:
        return self.progression[number % len(self.progression)]

    def _motif(self, number: int) -> list[int]:
        """A-A-B-A form over groups of four bars, varied on each return."""
        which = self.motifs[1 if (number // 4) % 4 == 2 else 0]
        return vary(self._rng(number), which, 0.2 if number % 4 == 3 else 0.08)

    def _note(self, degree: int, octave: int = 0) -> int:
        return degree_to_note(self.root + 12 * octave, self.scale, degree)


class Chiptune(Style):
    """Fast square-wave tune, arpeggios, bouncing bass, noise drums."""

    name = "chiptune"
    tempo = (132, 160)
    scale = "major"
    chords = ((0, 5, 3, 4), (0, 4, 5, 3), (0, 3, 0, 4))

    def bar(self, number: int) -> list[Note]:
        """Eighth-note tune over sixteenth arpeggios."""
        chord = self._chord(number)
        notes = []
        for i, degree in enumerate(self._motif(number)):
            if self.rhythm[i] > 0.2:
                notes.append(Note("square_lead", self._note(chord + degree, 1), i / 2, 0.45, 0.55))
        arpeggio = [*triad(self.root, self.scale, chord), self._note(chord + 7)]
        notes += [Note("square_lead", arpeggio[i % 4], i / 4, 0.2, 0.16) for i in range(16)]
        notes += [Note("pulse_bass", self._note(chord, -2 + (i % 2)), i / 2, 0.4, 0.6) for i in range(8)]
        notes += [Note("hat", 42, i / 2, 0.1, 0.35) for i in range(8)]
        notes += [Note("snare", 38, b, 0.2, 0.4) for b in (1, 3)]
        return notes


class Ambient(Style):
    """Slow pads over a drone, sparse bells, no beat."""

    name = "ambient"
    tempo = (50, 64)
    scale = "pentatonic"
    chords = ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 0, 3))

    def bar(self, number: int) -> list[Note]:
        """One long chord a bar, a few bells."""
        chord, rng = self._chord(number), self._rng(number)
        notes = [Note("pad", n - 12, 0.0, 4.2, 0.4) for n in triad(self.root, self.scale, chord)]
        notes.append(Note("pad", self._note(chord, -2), 0.0, 4.4, 0.5))
        bells = self._motif(number)[: int(rng.integers(1, 4))]
        return notes + [Note("bell", self._note(chord + d, 1), float(rng.integers(0, 8)) / 2, 1.5, 0.4) for d in bells]


class Techno(Style):
    """Four on the floor, off-beat hats, sixteenth bass, stabs."""

    name = "techno"
    tempo = (122, 134)
    scale = "minor"
    chords = ((0, 0, 5, 5), (0, 0, 3, 4), (0, 0, 0, 6))

    def bar(self, number: int) -> list[Note]:
        """Drums always; bass and stabs drop out every eighth bar."""
        chord = self._chord(number)
        notes = [Note("kick", 36, b, 0.3, 0.95) for b in range(4)]
        notes += [Note("hat", 62, b + 0.5, 0.2, 0.45) for b in range(4)]
        notes += [Note("hat", 42, i / 4, 0.1, 0.2) for i in range(16)]
        notes += [Note("snare", 38, b, 0.2, 0.4) for b in (1, 3)]
        if number % 8 == 7:
            return notes
        for i in range(16):
            if i % 4 and self.rhythm[i] > 0.25:
                octave = -1 if self.rhythm[i] > 0.85 else -2
                notes.append(Note("acid_bass", self._note(chord, octave), i / 4, 0.2, 0.6))
        for i in (3, 6, 11, 14):
            if self.rhythm[i] > 0.4:
                notes += [Note("stab", n, i / 4, 0.2, 0.22) for n in triad(self.root, self.scale, chord)]
        return notes


class Waltz(Style):
    """Plucked strings in three-four time: bass, two chords, a tune."""

    name = "waltz"
    tempo = (132, 168)
    beats = 3
    scale = "major"
    chords = ((0, 0, 4, 4, 4, 4, 0, 0), (0, 3, 4, 0, 5, 3, 4, 0), (0, 5, 1, 4))

    def bar(self, number: int) -> list[Note]:
        """Oom-pah-pah and a melody in quarters and eighths."""
        chord = self._chord(number)
        notes = [Note("pluck", self._note(chord, -2), 0.0, 1.6, 0.8)]
        for beat in (1, 2):
            notes += [Note("pluck", n - 12, beat, 0.7, 0.32) for n in triad(self.root, self.scale, chord)]
        tune = self._motif(number)
        start = 0.0
        for i, degree in enumerate(tune):
            length = 0.5 if self.rhythm[i] > 0.6 else 1.0
            if start + length > 3:
                break
            notes.append(Note("pluck", self._note(chord + degree, 1), start, length * 1.1, 0.7))
            start += length
        return notes


STYLES: dict[str, type[Style]] = {s.name: s for s in (Ambient, Chiptune, Techno, Waltz)}
