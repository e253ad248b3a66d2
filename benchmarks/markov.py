"""Baseline: a first-order Markov chain over spectra for each genre.

Frames of log-magnitude (1,024 samples, every 256) of a genre's training music are quantised to 256 clusters, and the
transitions between clusters are counted. Generation samples from the transitions; phases come from Griffin-Lim.
"""

from __future__ import annotations

from collections.abc import Sequence

import librosa
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from noizenet.corpus.corpus import Corpus, Track

N_FFT, HOP, STATES, SEGMENT_S, MAX_FRAMES = 1024, 256, 256, 20.0, 40_000
FLOOR = 1e-5


class MarkovChain:
    """Cluster centres and transition counts.

    Parameters
    ----------
    corpus : Corpus
    tracks : sequence of Track
        Training tracks; evenly spaced segments of 20 seconds of each are used.
    seed : int
    """

    def __init__(self, corpus: Corpus, tracks: Sequence[Track], seed: int = 0) -> None:
        per_track = max(1, round(MAX_FRAMES * HOP / corpus.sample_rate / SEGMENT_S / max(1, len(tracks))))
        parts = [self._spectra(corpus, t, (i + 0.5) / per_track) for t in tracks for i in range(per_track)]
        frames = np.concatenate(parts)
        self._clusters = MiniBatchKMeans(STATES, random_state=seed, n_init=1, batch_size=2048).fit(frames)
        self._transitions = np.zeros((STATES, STATES))
        for part in parts:
            states = self._clusters.predict(part)
            np.add.at(self._transitions, (states[:-1], states[1:]), 1)
        self._first = np.bincount(self._clusters.predict(frames), minlength=STATES).astype(float)

    @staticmethod
    def _spectra(corpus: Corpus, track: Track, position: float) -> NDArray[np.float32]:
        count = min(track.frames, round(SEGMENT_S * corpus.sample_rate))
        samples = corpus.mono(track, round(position * (track.frames - count)), count)
        magnitude = np.abs(librosa.stft(samples, n_fft=N_FFT, hop_length=HOP))
        return np.log(magnitude.T + FLOOR).astype(np.float32)

    def play(self, seconds: float, sample_rate: int, seed: int) -> NDArray[np.float32]:
        """Return `seconds` of generated mono audio."""
        generator = np.random.default_rng(seed)
        count = round(seconds * sample_rate / HOP) + 1
        states = np.zeros(count, int)
        state = int(generator.choice(STATES, p=self._first / self._first.sum()))
        for i in range(count):
            states[i] = state
            row = self._transitions[state]
            row = row if row.sum() else self._first  # a state without successors
            state = int(generator.choice(STATES, p=row / row.sum()))
        magnitude = np.exp(self._clusters.cluster_centers_[states].T) - FLOOR
        sound = librosa.griffinlim(
            np.maximum(magnitude, 0).astype(np.float32), n_iter=32, hop_length=HOP, n_fft=N_FFT, random_state=seed
        )
        return np.clip(sound[: round(seconds * sample_rate)], -1, 1).astype(np.float32)
