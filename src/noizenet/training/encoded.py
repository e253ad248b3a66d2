"""Tracks as frames, encoded once and kept: in memory, and beside the corpus for the next training."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import NoizenetError
from noizenet.base.files import make_folder, write_bytes
from noizenet.corpus.corpus import Corpus, Track
from noizenet.representation.base import Frames, Representation

FOLDER = "codes"
QUIET, PAUSE = 10 ** (-55 / 20), 12
"""Frames below this level are silence, and of a silence no more than so many are kept."""


def sounding(samples: NDArray[np.float32], frames: int, each: int) -> NDArray[np.bool_]:
    """Return which frames to learn from, [frames]: all but what goes on of a silence after its first quarter second.

    A network that has heard recordings fade out and stay silent takes silence for a place to stay.

    Examples
    --------
    >>> sound = np.concatenate([np.ones((40, 1)), np.zeros((400, 1)), np.ones((40, 1))]).astype(np.float32)
    >>> int(sounding(sound, 48, 10).sum())
    20
    """
    mono = np.pad(samples.mean(1), (0, max(0, frames * each - len(samples))))[: frames * each]
    quiet = np.sqrt(np.square(mono.reshape(frames, each)).mean(1)) < QUIET
    run, kept = 0, np.ones(frames, bool)
    for i in range(frames):
        run = run + 1 if quiet[i] else 0
        kept[i] = run <= PAUSE
    return kept if kept.any() and not quiet.all() else np.ones(frames, bool)


class EncodedTracks:
    """Whole tracks, without their long silences, as frames of a representation whose frames are few and dear.

    Parameters
    ----------
    corpus : Corpus
    representation : Representation
        With a :attr:`~noizenet.representation.base.Representation.key`, which names the folder of its frames.

    Notes
    -----
    What lies beside the corpus is a cache: it may be deleted, and where it cannot be written it is done without.
    """

    def __init__(self, corpus: Corpus, representation: Representation) -> None:
        self._corpus, self._r = corpus, representation
        self._kept = dict[tuple[str, int], Frames]()
        self._folder = corpus.folder / FOLDER / representation.key

    def frames(self, track: Track, shift: int = 0) -> Frames:
        """Return a track's frames [T, ...], played so many semitones higher (and so the faster)."""
        if (track.id, shift) not in self._kept:
            self._kept[track.id, shift] = self._read(track, shift)
        return self._kept[track.id, shift]

    def prepare(self, tracks: Sequence[tuple[Track, int]], on_track: Callable[[float], None] | None = None) -> None:
        """Encode what is not encoded yet; tell the share that is done."""
        for i, (track, shift) in enumerate(tracks):
            self.frames(track, shift)
            if on_track is not None:
                on_track((i + 1) / len(tracks))

    def _read(self, track: Track, shift: int) -> Frames:
        path = self._folder / f"{track.content[:32]}-{track.frames}-sounding{f'{shift:+d}' if shift else ''}.npy"
        try:
            with path.open("rb") as handle:
                frames: Frames = np.load(handle, allow_pickle=False)
            if frames.ndim == 2 and frames.shape[1] == self._r.dim and frames.max(initial=0) < self._r.levels:
                return frames
        except (OSError, ValueError, EOFError):
            pass  # not there, or damaged: made anew
        sound = self._corpus.waveform(track)
        samples = self._r.samples_of(Waveform(sound.samples, round(sound.sample_rate * 2 ** (shift / 12))))
        frames = self._r.encode(self._r.as_waveform(samples))
        frames = frames[sounding(samples, len(frames), self._r.samples_for(1))]
        buffer = io.BytesIO()
        np.save(buffer, frames, allow_pickle=False)
        try:
            make_folder(self._folder)
            write_bytes(path, buffer.getvalue())
        except (OSError, NoizenetError):
            pass  # a corpus that cannot be written to
        return frames
