"""Genre accuracy: whether a classifier trained on real music predicts the requested genre of generated music."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.evaluation.intervals import Estimate, proportion

MIN_RECORDINGS = 5
"""Recordings that an estimate of the accuracy needs."""

MAX_SEGMENTS = 400
"""Most training segments of one genre, so that the genres have equal weight."""


@dataclass(frozen=True)
class GenreAccuracy:
    """Accuracy over recordings with an interval, and the confusion matrix [requested, predicted]."""

    accuracy: Estimate
    confusion: NDArray[np.int64]
    genres: list[str]


class GenreClassifier:
    """Logistic regression on standardised embeddings of segments, summed over a recording's segments.

    Parameters
    ----------
    points : float [N, D]
        Embeddings of real training music.
    labels : sequence of str
        Genre of each point, [N].
    seed : int
        Seed of the choice of segments of genres that have many.

    Raises
    ------
    UsageError
        If there are fewer than two genres, or values that are not finite.
    """

    def __init__(self, points: NDArray[Any], labels: Sequence[str], seed: int = 0) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        names = np.asarray(labels)
        self.genres = sorted(set(labels))
        if len(self.genres) < 2:
            raise UsageError(f"a genre classifier needs at least two genres; the training music has {len(self.genres)}")
        if not np.isfinite(points).all():
            raise UsageError("some embeddings of the training music are not finite: no classifier can be trained")
        generator = np.random.default_rng(seed)
        rows = []
        for genre in self.genres:
            rows_of_genre = np.flatnonzero(names == genre)
            rows.append(generator.permutation(rows_of_genre)[:MAX_SEGMENTS])
        chosen = np.concatenate(rows)
        self._pipeline = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.05, class_weight="balanced", max_iter=1000)
        )
        self._pipeline.fit(points[chosen], names[chosen])

    def evaluate(self, recordings: Sequence[tuple[str, NDArray[Any]]]) -> GenreAccuracy:
        """Return the accuracy on recordings: pairs of the requested genre and embeddings [n, D].

        Raises
        ------
        UsageError
            If fewer than five have a known genre.
        """
        index = {genre: i for i, genre in enumerate(self.genres)}
        confusion = np.zeros((len(self.genres), len(self.genres)), np.int64)
        correct = []
        for genre, points in recordings:
            if genre not in index or not len(points):
                continue
            if not np.isfinite(points).all():
                raise UsageError("some embeddings of the evaluated recordings are not finite")
            logs = self._pipeline.predict_log_proba(points).mean(0)
            predicted = int(logs.argmax())
            confusion[index[genre], predicted] += 1
            correct.append(predicted == index[genre])
        if len(correct) < MIN_RECORDINGS:
            raise UsageError(
                f"{len(correct)} recording(s) have a genre of the training music and are not silent: "
                f"at least {MIN_RECORDINGS} are needed"
            )
        return GenreAccuracy(proportion(sum(correct), len(correct)), confusion, self.genres)
