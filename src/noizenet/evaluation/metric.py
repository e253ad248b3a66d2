"""Base classes of the metrics: an estimate with unit, better direction and source.

A metric is also computed on held-out music as if a model had generated it. That is its floor (or ceiling): no model can
be expected to be more similar to the training music than held-out music is. It is also computed on negative
**controls**, which are not music. A metric that does not rate a control worse than real music is insensitive to it, and
the result names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from noizenet.base.errors import UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.intervals import Estimate
from noizenet.evaluation.recording import AnalyzedRecording
from noizenet.store.model import Model

T = TypeVar("T")


@dataclass(frozen=True)
class MetricResult:
    """Result of one metric.

    Attributes
    ----------
    name : str
        Name in the registry.
    title, unit, better, source : str
        Those of the metric.
    made, real : Estimate
        On the evaluated recordings and on held-out music.
    comparisons : dict of str to Estimate
        On controls, or of baselines.
    insensitive : list of str
        Controls that the metric does not rate worse than real music.
    """

    name: str
    title: str
    unit: str
    better: str
    source: str
    made: Estimate
    real: Estimate | None = None
    comparisons: dict[str, Estimate] = field(default_factory=dict)
    insensitive: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data under the keys of ``report.json``."""
        keys = {"title": "measure", "comparisons": "beside", "insensitive": "blind"}
        return {keys.get(name, name): value for name, value in asdict(self).items()}


@dataclass
class MetricInputs:
    """Inputs of the metrics.

    Parameters
    ----------
    train, held_out, made : sequence of AnalyzedRecording
        Training music, held-out music, and the recordings to evaluate.
    controls : mapping of str to sequence of AnalyzedRecording
        Negative controls by name.
    corpus : Corpus
    model : Model, optional
        The model that generated the recordings; needed by the metrics of the model itself.
    cost : dict
        Cost of the generation; empty if unknown.
    tagger : bool
        Whether the tagger's embeddings were computed.
    seed : int
        Seed of every resampling.
    """

    train: Sequence[AnalyzedRecording]
    held_out: Sequence[AnalyzedRecording]
    made: Sequence[AnalyzedRecording]
    controls: Mapping[str, Sequence[AnalyzedRecording]]
    corpus: Corpus
    model: Model | None = None
    cost: Mapping[str, Any] = field(default_factory=dict)
    tagger: bool = False
    seed: int = 0
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    def cached(self, key: str, make: Callable[[], T]) -> T:
        """Return the result of `make`, which is called only once for a key."""
        if key not in self._cache:
            self._cache[key] = make()
        kept: T = self._cache[key]
        return kept

    def held_out_halves(self) -> list[list[AnalyzedRecording]]:
        """Return held-out music in two halves by different artists (or different tracks, if there is one artist)."""
        names = [s.artist for s in self.held_out]
        if len(set(names)) < 2:
            names = [s.features.name for s in self.held_out]
        order = sorted(set(names))
        return [
            [s for s, n in zip(self.held_out, names, strict=True) if order.index(n) % 2 == half] for half in range(2)
        ]


class Metric:
    """A metric.

    Attributes
    ----------
    title, unit, source : str
        Name in reports, unit of the values, and method or publication.
    better : str
        ``lower`` or ``higher``.
    """

    title: str
    unit: str = ""
    better: str = "lower"
    source: str

    def compute(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Return the result under a registry name.

        Raises
        ------
        UsageError
            If the data cannot support the metric; the message gives the reason.
        """
        raise NotImplementedError

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """Return further data for the report, by section."""
        return {}


class RecordingMetric(Metric):
    """A metric of recordings, computed alike on evaluated recordings, real music and controls."""

    def score(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> Estimate:
        """Score recordings."""
        raise NotImplementedError

    def real(self, inputs: MetricInputs) -> Estimate:
        """Score held-out music as if it had been generated."""
        return self.score(inputs, inputs.held_out)

    def compute(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Score the evaluated recordings, held-out music and the controls."""
        made = self.score(inputs, inputs.made)
        if not math.isfinite(made.value):
            raise UsageError("the result is not finite")
        real, comparisons = _or_none(lambda: self.real(inputs)), dict[str, Estimate]()
        for control, sounds in inputs.controls.items():
            found = _or_none(lambda sounds=sounds: self.score(inputs, sounds))  # type: ignore[misc]
            if found is not None:
                comparisons[control] = found
        insensitive = [
            c for c, found in comparisons.items() if real is not None and not is_worse(self.better, real, found)
        ]
        return MetricResult(name, self.title, self.unit, self.better, self.source, made, real, comparisons, insensitive)


def is_worse(better: str, real: Estimate, other: Estimate) -> bool:
    """Return whether an estimate is worse than the whole interval of real music."""
    if better == "lower":
        return bool(other.value > np.nanmax([real.value, real.high]))
    return bool(other.value < np.nanmin([real.value, real.low]))


def _or_none(work: Callable[[], Estimate]) -> Estimate | None:
    try:
        found = work()
    except (UsageError, np.linalg.LinAlgError):
        return None
    return found if math.isfinite(found.value) else None
