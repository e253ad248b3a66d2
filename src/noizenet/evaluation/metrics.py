"""Metrics of recordings: health, distance to real music, genre accuracy, copying, structure over time, drift."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.evaluation import EMBEDDINGS, overtime
from noizenet.evaluation.copying import MIN_HELD_OUT, MIN_MADE, Copying, Excerpts, Pair, compare
from noizenet.evaluation.distance import feature_scales, frechet_distance, kernel_distance
from noizenet.evaluation.features import Features
from noizenet.evaluation.genre import GenreAccuracy, GenreClassifier
from noizenet.evaluation.intervals import Estimate, bootstrap, clip_at_zero, mean_proportion
from noizenet.evaluation.metric import MetricInputs, RecordingMetric
from noizenet.evaluation.recording import AnalyzedRecording

MIN_VALUES = 10
"""Least values of each side for comparing two distributions. Between two samples of one distribution with a standard
deviation of 1 the distance is 0.50 on average at 10 values each, 0.31 at 30, 0.18 at 100 (docs/evaluation.md)."""
F64 = NDArray[np.float64]


class AliveMetric(RecordingMetric):
    """Share of the time without degenerate output."""

    title, unit, better = "alive", "share of time", "higher"
    source = "silence, constant, frozen value, one tone, loop or white noise (noizenet.evaluation.aliveness)"

    def score(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> Estimate:
        """Mean over recordings."""
        if not side:
            raise UsageError("there is no recording")
        return mean_proportion([np.full(1, s.aliveness.alive) for s in side], inputs.seed)


class EmbeddingDistance(RecordingMetric):
    """Distance between the segments' embeddings and those of the training music."""

    better = "lower"

    def __init__(self, kind: str, embedding: str) -> None:
        self.kind, self.embedding = kind, embedding
        self.title = f"{kind} distance, {embedding}"
        if kind == "Fréchet":
            self.source = (
                "Fréchet audio distance at infinite size (Kilgour et al. 2019; Chong, Forsyth 2020; Gui et al. 2024)"
            )
        else:
            self.source = "unbiased polynomial kernel distance (Bińkowski et al. 2018)"

    def score(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> Estimate:
        """Distance to the training music."""
        if self.embedding == "tagger" and not inputs.tagger:
            raise UsageError("the tagger was not requested")
        reference, of, mean, spread = inputs.cached(f"reference {self.embedding}", lambda: self._reference(inputs))
        points, groups = embeddings_of([s.features for s in side], self.embedding)
        points = (points - mean) / spread
        work = frechet_distance if self.kind == "Fréchet" else kernel_distance
        return work(reference, points, groups, inputs.seed, real_groups=of)

    def _reference(self, inputs: MetricInputs) -> tuple[F64, NDArray[np.int64], F64, F64]:
        """Return the training music's scaled points, the recording of each, and the mean and scale applied."""
        points, groups = embeddings_of([s.features for s in inputs.train], self.embedding)
        if self.embedding == "tagger":  # its dimensions have one scale
            return points, groups, np.zeros(points.shape[1]), np.ones(points.shape[1])
        if not len(points):
            raise UsageError("the training music is silent")
        mean, spread = points.mean(0), feature_scales(points)  # the dimensions have different units
        return (points - mean) / spread, groups, mean, spread


class GenreMetric(RecordingMetric):
    """Accuracy of a genre classifier: whether it predicts the genre that was requested."""

    title, unit, better = "genre accuracy", "share", "higher"
    source = "logistic regression on embeddings of real training music, over whole recordings"

    def score(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> Estimate:
        """Share of recordings whose predicted genre is the requested one."""
        return self._accuracy(inputs, side).accuracy

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """Confusion matrices."""
        sides = dict[str, GenreAccuracy]()
        for name, side in (("made", inputs.made), ("real", inputs.held_out)):
            with contextlib.suppress(UsageError):
                sides[name] = self._accuracy(inputs, side)
        return {
            "confusion": {"genres": sides["made"].genres} | {name: v.confusion.tolist() for name, v in sides.items()}
        }

    def _accuracy(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> GenreAccuracy:
        name = "tagger" if inputs.tagger else "crafted"

        def learn() -> GenreClassifier:
            points, groups = embeddings_of([s.features for s in inputs.train], name)
            return GenreClassifier(points, [inputs.train[g].features.genre for g in groups], inputs.seed)

        classifier = inputs.cached("classifier", learn)
        pairs = [(s.features.genre, getattr(s.features, EMBEDDINGS[name])) for s in side]
        return classifier.evaluate(pairs)


class CopyingMetric(RecordingMetric):
    """Share of seconds that are nearer to training music than all but 5 % of held-out music."""

    title, unit, better = "seconds nearer to training music than 95 % of held-out music", "share", "lower"
    source = "nearest training second by chroma and mel; 0.05 is as new as held-out music"

    def score(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> Estimate:
        """Compare with held-out music."""
        return self._checked(self._compare(inputs, self._nearest(inputs, side)))

    def real(self, inputs: MetricInputs) -> Estimate:
        """Compare one half of held-out music with the other."""
        halves = [self._nearest(inputs, half) for half in inputs.held_out_halves()]
        return self._checked(compare(halves[0], halves[1], inputs.seed))

    def _checked(self, found: Copying) -> Estimate:
        if math.isnan(found.share.value):
            raise UsageError(
                f"{found.share.count} seconds compared with {len(found.real)} of held-out music are too few: "
                f"at least {MIN_MADE} and {MIN_HELD_OUT} are needed"
            )
        return found.share

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """Return the verdict and the worst pairs."""
        result = self._compare(inputs, self._nearest(inputs, inputs.made))
        return {
            "copying": {
                "verdict": result.verdict, "threshold": result.threshold,
                "made": np.round(result.made[:: max(1, len(result.made) // 2000)], 4).tolist(),
                "real": np.round(result.real[:: max(1, len(result.real) // 2000)], 4).tolist(),
                "worst": [asdict(p) for p in result.worst],
            }
        }  # fmt: skip

    def _compare(self, inputs: MetricInputs, pairs: Sequence[list[Pair]]) -> Copying:
        return compare(pairs, self._nearest(inputs, inputs.held_out), inputs.seed)

    def _nearest(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> list[list[Pair]]:
        excerpts = inputs.cached("excerpts", lambda: Excerpts([s.features for s in inputs.train]))
        return [inputs.cached(f"near {id(s)}", lambda s=s: excerpts.nearest(s.features)) for s in side]  # type: ignore[misc]


class DistributionDistance(RecordingMetric):
    """Distance between the distributions of a feature over evaluated and over held-out music."""

    better = "lower"

    def __init__(self, title: str, unit: str, source: str, values: Callable[[Features], F64]) -> None:
        self.title, self.unit, self.source, self.values = f"{title}: distance of distributions", unit, source, values
        self.quantity = title

    def score(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> Estimate:
        """Wasserstein distance to all held-out music."""
        return self._distance_to(inputs, side, inputs.held_out)

    def real(self, inputs: MetricInputs) -> Estimate:
        """Wasserstein distance between two halves of held-out music by different artists."""
        first, second = inputs.held_out_halves()
        return self._distance_to(inputs, first, second)

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """Quantiles of both sides."""
        sides = {"made": self._all_values(inputs, inputs.made), "real": self._all_values(inputs, inputs.held_out)}
        found = {side: np.quantile(x, np.linspace(0, 1, 41)).round(4).tolist() for side, x in sides.items()}
        return {"distributions": {self.quantity: found | {"unit": self.unit}}}

    def _distance_to(
        self, inputs: MetricInputs, side: Sequence[AnalyzedRecording], reference: Sequence[AnalyzedRecording]
    ) -> Estimate:
        real = self._all_values(inputs, reference)
        each = [x for x in self._values_by_recording(inputs, side) if len(x)]
        values = sum(map(len, each))
        if min(values, len(real)) < MIN_VALUES:
            raise UsageError(
                f"{values} values compared with {len(real)} of held-out music are too few: at least {MIN_VALUES} of "
                "each are needed, from recordings that are long enough and not silent"
            )
        found = bootstrap(each, lambda x: overtime.wasserstein(x, real), inputs.seed, rounds=50)
        return clip_at_zero(found)

    def _values_by_recording(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> list[F64]:
        return [inputs.cached(f"{self.quantity} {id(s)}", lambda s=s: self.values(s.features)) for s in side]  # type: ignore[misc]

    def _all_values(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> F64:
        return np.concatenate([np.zeros(0), *self._values_by_recording(inputs, side)])


class DriftMetric(RecordingMetric):
    """Change of level or centroid from the first minute to the last."""

    better = "lower"
    source = "mean absolute change"

    def __init__(self, which: int, name: str, unit: str) -> None:
        self.which, self.unit = which, unit
        self.title = f"drift of the {name} from first to last minute"

    def score(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> Estimate:
        """Mean over recordings of at least two minutes."""
        drifts = [d for d in (overtime.drift(s.features) for s in side) if d is not None]
        if len(drifts) < 2:
            raise UsageError("fewer than two recordings have two minutes that are not silent")
        return bootstrap(
            [np.abs(d[self.which : self.which + 1]) for d in drifts], lambda x: float(x.mean()), inputs.seed
        )


def embeddings_of(recordings: Sequence[Features], embedding: str) -> tuple[F64, NDArray[np.int64]]:
    """Return all segments' embeddings [N, D] and the recording of each [N].

    Raises
    ------
    UsageError
        If there is no recording.
    """
    if not recordings:
        raise UsageError("there is no recording")
    parts = [getattr(r, EMBEDDINGS[embedding]) for r in recordings]
    points = np.concatenate(parts).astype(np.float64)
    return points, np.repeat(np.arange(len(parts)), [len(p) for p in parts])


ALIVE, GENRE, COPYING = AliveMetric(), GenreMetric(), CopyingMetric()
FRECHET_TAGGER, KERNEL_TAGGER = EmbeddingDistance("Fréchet", "tagger"), EmbeddingDistance("kernel", "tagger")
FRECHET_CRAFTED, KERNEL_CRAFTED = EmbeddingDistance("Fréchet", "crafted"), EmbeddingDistance("kernel", "crafted")
ONSET_RATE = DistributionDistance(
    "onset rate", "1/s", "peaks of mel-band onset strength (S. Böck and G. Widmer, 2013)", overtime.onset_rate
)
TEMPO_CLARITY = DistributionDistance(
    "tempo clarity", "", "autocorrelation of onset strength (G. Tzanetakis and P. Cook, 2002)", overtime.tempo_clarity
)
KEY_CLARITY = DistributionDistance(
    "key clarity", "", "correlation with key profiles (C. L. Krumhansl and E. J. Kessler, 1982)", overtime.key_clarity
)
LOUDNESS_RANGE = DistributionDistance(
    "loudness range", "dB", "after EBU Tech 3342, on levels of 3 s", overtime.loudness_range
)
CENTROID = DistributionDistance(
    "spectral centroid", "Hz", "centre of gravity of the magnitude spectrum", overtime.centroid
)


def _similarity(lag: int) -> DistributionDistance:
    source = "cosine of chroma and mel at a lag (J. Foote, 1999)"
    return DistributionDistance(f"self-similarity, {lag} s", "", source, lambda x: overtime.similarity(x, lag))


SIMILARITY_1, SIMILARITY_4, SIMILARITY_16, SIMILARITY_64 = map(_similarity, (1, 4, 16, 64))
LEVEL_DRIFT, CENTROID_DRIFT = DriftMetric(0, "level", "dB"), DriftMetric(1, "centroid", "Hz")
