"""Metrics of a model itself: likelihood of held-out music, teacher-forced reproduction, and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.evaluation.echo import Echo
from noizenet.evaluation.intervals import Estimate, bootstrap
from noizenet.evaluation.likelihood import check_compatible, genre_mix, likelihood
from noizenet.evaluation.metric import Metric, MetricInputs, MetricResult
from noizenet.evaluation.recording import middle
from noizenet.store.model import Model

ECHO_S, ECHO_TRACKS = 5.0, 12


def require_model(inputs: MetricInputs) -> Model:
    """Return the model that generated the music.

    Raises
    ------
    UsageError
        If there is none.
    """
    if inputs.model is None:
        raise UsageError("no model is known: the music was given as files")
    return inputs.model


class LikelihoodMetric(Metric):
    """Bits per sample of held-out tracks, with baselines."""

    title, unit, better = "likelihood of held-out music", "bits per sample", "lower"
    source = "exact cost under the model's own distributions; baselines predict the same classes"

    def compute(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Mean over excerpts; the genres have equal weight."""
        found = self._evaluate(inputs)
        columns = {
            column: bootstrap(_by_track(found["excerpts"], column), _mean, inputs.seed)
            for column in found["excerpts"][0]
            if column != "track"
        }
        baselines = {k.replace("_", " "): v for k, v in columns.items() if k != "bits"}
        return MetricResult(name, self.title, found["unit"], self.better, self.source, columns["bits"], None, baselines)

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """Bits by genre."""
        return {"likelihood": {k: v for k, v in self._evaluate(inputs).items() if k != "excerpts"}}

    def _evaluate(self, inputs: MetricInputs) -> dict[str, Any]:
        model = require_model(inputs)
        return inputs.cached("likelihood", lambda: likelihood(model, inputs.corpus))


def _by_track(excerpts: Sequence[Mapping[str, list[float]]], column: str) -> list[NDArray[np.float64]]:
    """Return a column's values by recording, because the excerpts of one recording are correlated."""
    found = dict[tuple[int, float], list[float]]()
    for genre, rows in enumerate(excerpts):
        for track, value in zip(rows["track"], rows[column], strict=True):
            found.setdefault((genre, track), []).append(value)
    return [np.asarray(values) for values in found.values()]


class EchoMetric(Metric):
    """The paper's teacher-forced echo of held-out tracks, with the persistence baseline."""

    title, better = "echo: mean square error of the next frame", "lower"
    source = "teacher forcing (the paper's reproduction); persistence repeats the last frame"

    def compute(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Mean over tracks."""
        rows = self._evaluate(inputs)
        model, persistence = (
            bootstrap([np.asarray([getattr(r, side)["mse"]]) for r in rows], _mean, inputs.seed)
            for side in ("model", "persistence")
        )
        unit = f"of {rows[0].domain}"
        return MetricResult(name, self.title, unit, self.better, self.source, model, None, {"persistence": persistence})

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """All three errors of the model and of persistence."""
        rows = self._evaluate(inputs)
        errors = ("mse", "mae", "mbe")
        sides = {
            s: {e: _mean(np.asarray([getattr(r, s)[e] for r in rows])) for e in errors}
            for s in ("model", "persistence")
        }
        return {
            "echo": sides | {"domain": rows[0].domain, "tracks": len(rows), "seconds": sum(r.seconds for r in rows)}
        }

    def _evaluate(self, inputs: MetricInputs) -> list[Any]:
        return inputs.cached("echo", lambda: _echo_tracks(require_model(inputs), inputs))


def _echo_tracks(model: Model, inputs: MetricInputs) -> list[Any]:
    corpus = inputs.corpus
    check_compatible(model, corpus)
    held_out = corpus.held_out()
    found = []
    for track in held_out[:: max(1, len(held_out) // ECHO_TRACKS)][:ECHO_TRACKS]:
        first, count = middle(track, ECHO_S, corpus.sample_rate)
        echo = Echo(model, genre_mix(model, track.genre))
        for _ in echo.process([model.representation.samples_of(corpus.waveform(track, first, count))]):
            pass
        found.append(echo.result())
    if len(found) < 2:
        raise UsageError("there are fewer than two held-out tracks")
    return found


class CostMetric(Metric):
    """One value of the cost of generation or training."""

    def __init__(
        self, title: str, unit: str, better: str, source: str, read: Callable[[Mapping[str, Any]], Any]
    ) -> None:
        self.title, self.unit, self.better, self.source, self._read = title, unit, better, source, read

    def compute(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Look the value up."""
        require_model(inputs)
        value = self._read(inputs.cost)
        if value is None or not np.isfinite(value):
            raise UsageError("it was not measured: the kernel exposes no counter, or the model has no record of it")
        made = Estimate(float(value), float("nan"), float("nan"), 1)
        return MetricResult(name, self.title, self.unit, self.better, self.source, made)


def _mean(x: Any) -> float:
    return float(np.mean(x))


def _training(cost: Mapping[str, Any]) -> float | None:
    metrics = cost.get("training", {})
    hours, minutes = metrics.get("audio_hours"), metrics.get("minutes")
    return hours * 60 / minutes if hours and minutes else None


LIKELIHOOD, ECHO = LikelihoodMetric(), EchoMetric()
PLAYING_SPEED = CostMetric(
    "playing",
    "× real time",
    "higher",
    "sixteen streams at a time, files written",
    lambda c: c.get("generation_real_time"),
)
TRAINING_SPEED = CostMetric("training", "× real time", "higher", "sound read per time of training", _training)
MEMORY = CostMetric("memory while playing", "MB", "lower", "RSS of the process", lambda c: c.get("rss_mb"))
MODEL_SIZE = CostMetric("weights", "bytes", "lower", "as they are played", lambda c: c.get("model_bytes"))
ENERGY = CostMetric(
    "energy", "J per second of sound", "lower", "powercap, whole machine", lambda c: c.get("joules_per_second")
)
