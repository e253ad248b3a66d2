"""What a measure is: a figure with its unit, its better direction and its source, beside real music and controls.

Whatever is said of the made music is also said of held-out music, as if a model had made it: that is the floor (or the
ceiling) of each measure, since no model can be asked to be more like the training music than its own neighbours are.
And it is said of **controls** that nobody would call music. A measure that cannot tell real music from a control is
blind to it, and the figure says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    """One measure's figure.

    ``name`` is the registry's; ``better`` is ``lower`` or ``higher``; ``beside`` are controls or baselines;
    ``insensitive`` names the controls that the measure does not put behind real music.
    """

    name: str
    metric: str
    unit: str
    better: str
    source: str
    made: Estimate
    real: Estimate | None = None
    comparisons: dict[str, Estimate] = field(default_factory=dict)
    insensitive: list[str] = field(default_factory=list)


@dataclass
class MetricInputs:
    """What measures judge by.

    Parameters
    ----------
    train, held, made : sequence of AnalyzedRecording
        Real training music, real music that no training saw, and what is judged.
    controls : mapping of str to sequence of AnalyzedRecording
        What nobody would call music.
    corpus : Corpus
    model : Model, optional
        Where a model made the music: measures of the model itself need it.
    cost : dict
        What making the music cost; empty where that is not known.
    tagger : bool
        Whether the music was heard by the tagger.
    seed : int
        Fixes every resampling.
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
        """Return what `make` gives, made once."""
        if key not in self._cache:
            self._cache[key] = make()
        kept: T = self._cache[key]
        return kept

    def held_out_halves(self) -> list[list[AnalyzedRecording]]:
        """Return held-out music in two halves by different artists (by different tracks, where there is one artist)."""
        names = [s.artist for s in self.held_out]
        if len(set(names)) < 2:
            names = [s.features.name for s in self.held_out]
        order = sorted(set(names))
        return [[s for s, n in zip(self.held_out, names, strict=True) if order.index(n) % 2 == half] for half in range(2)]


class Metric:
    """One question and its answer.

    Attributes
    ----------
    title, unit, better, source : str
        What it measures, in what, which way is better, and where it comes from.
    """

    title: str
    unit: str = ""
    better: str = "lower"
    source: str

    def compute(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Judge.

        Raises
        ------
        UsageError
            If the data cannot support a figure; the message says why.
        """
        raise NotImplementedError

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """Return what the report shows besides the figure, by section."""
        return {}


class RecordingMetric(Metric):
    """A measure of recordings, whoever made them: real music and the controls are scored alike."""

    def score(self, inputs: MetricInputs, side: Sequence[AnalyzedRecording]) -> Estimate:
        """Score recordings."""
        raise NotImplementedError

    def real(self, inputs: MetricInputs) -> Estimate:
        """Score held-out music as if it had been made."""
        return self.score(inputs, inputs.held_out)

    def compute(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Judge what was made, real music, and the controls."""
        made = self.score(inputs, inputs.made)
        if not math.isfinite(made.value):
            raise UsageError("it comes out as no number")
        real, comparisons = _or_none(lambda: self.real(inputs)), dict[str, Estimate]()
        for control, sounds in inputs.controls.items():
            found = _or_none(lambda sounds=sounds: self.score(inputs, sounds))  # type: ignore[misc]
            if found is not None:
                comparisons[control] = found
        insensitive = [c for c, found in comparisons.items() if real is not None and not is_worse(self.better, real, found)]
        return MetricResult(name, self.title, self.unit, self.better, self.source, made, real, comparisons, insensitive)


def is_worse(better: str, real: Estimate, other: Estimate) -> bool:
    """Tell whether a figure is worse than real music's whole interval."""
    if better == "lower":
        return bool(other.value > np.nanmax([real.value, real.high]))
    return bool(other.value < np.nanmin([real.value, real.low]))


def _or_none(work: Callable[[], Estimate]) -> Estimate | None:
    try:
        found = work()
    except (UsageError, np.linalg.LinAlgError):
        return None
    return found if math.isfinite(found.value) else None
