"""The measures of a model itself: what held-out music costs it in bits, how well it echoes, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.base.errors import UsageError
from noizenet.evaluation.echo import Echo
from noizenet.evaluation.intervals import Estimate, resampled
from noizenet.evaluation.likelihood import check_same_sound, likelihood, mix_of
from noizenet.evaluation.measure import Measure, MetricInputs, MetricResult
from noizenet.evaluation.recording import middle
from noizenet.store.model import Model

ECHO_S, ECHOES = 5.0, 12


def the_model(inputs: MetricInputs) -> Model:
    """Return the model that made the music.

    Raises
    ------
    UsageError
        If none is known.
    """
    if inputs.model is None:
        raise UsageError("the music came as files: no model is known that made it")
    return inputs.model


class Likelihood(Measure):
    """Bits per sample of held-out tracks, beside what learns next to nothing."""

    title, unit, better = "likelihood of held-out music", "bits per sample", "lower"
    source = "exact cost under the model's own distributions; baselines predict the same classes"

    def figure(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Mean over excerpts, genres alike."""
        found = self._found(inputs)
        columns = {
            column: resampled(_by_track(found["excerpts"], column), _mean, inputs.seed)
            for column in found["excerpts"][0]
            if column != "track"
        }
        beside = {k.replace("_", " "): v for k, v in columns.items() if k != "bits"}
        return MetricResult(name, self.title, found["unit"], self.better, self.source, columns["bits"], None, beside)

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """Genre by genre."""
        return {"likelihood": {k: v for k, v in self._found(inputs).items() if k != "excerpts"}}

    def _found(self, inputs: MetricInputs) -> dict[str, Any]:
        model = the_model(inputs)
        return inputs.once("likelihood", lambda: likelihood(model, inputs.corpus))


def _by_track(excerpts: Sequence[Mapping[str, list[float]]], column: str) -> list[NDArray[np.float64]]:
    """Return a column's values, recording by recording: excerpts of one are alike."""
    found = dict[tuple[int, float], list[float]]()
    for genre, rows in enumerate(excerpts):
        for track, value in zip(rows["track"], rows[column], strict=True):
            found.setdefault((genre, track), []).append(value)
    return [np.asarray(values) for values in found.values()]


class Reproduction(Measure):
    """The paper's teacher-forced echo of held-out tracks, always beside persistence."""

    title, better = "echo: mean square error of the next frame", "lower"
    source = "teacher forcing (the paper's reproduction); persistence repeats the last frame"

    def figure(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Mean over tracks."""
        rows = self._found(inputs)
        model, persistence = (
            resampled([np.asarray([getattr(r, side)["mse"]]) for r in rows], _mean, inputs.seed)
            for side in ("model", "persistence")
        )
        unit = f"of {rows[0].domain}"
        return MetricResult(name, self.title, unit, self.better, self.source, model, None, {"persistence": persistence})

    def details(self, inputs: MetricInputs) -> dict[str, Any]:
        """All three errors of both sides."""
        rows = self._found(inputs)
        errors = ("mse", "mae", "mbe")
        sides = {
            s: {e: _mean(np.asarray([getattr(r, s)[e] for r in rows])) for e in errors}
            for s in ("model", "persistence")
        }
        return {
            "echo": sides | {"domain": rows[0].domain, "tracks": len(rows), "seconds": sum(r.seconds for r in rows)}
        }

    def _found(self, inputs: MetricInputs) -> list[Any]:
        return inputs.once("echo", lambda: _echoes(the_model(inputs), inputs))


def _echoes(model: Model, inputs: MetricInputs) -> list[Any]:
    corpus = inputs.corpus
    check_same_sound(model, corpus)
    held = corpus.held_out()
    found = []
    for track in held[:: max(1, len(held) // ECHOES)][:ECHOES]:
        first, count = middle(track, ECHO_S, corpus.sample_rate)
        echo = Echo(model, mix_of(model, track.genre))
        for _ in echo.extract_features([model.representation.samples_of(corpus.waveform(track, first, count))]):
            pass
        found.append(echo.result())
    if len(found) < 2:
        raise UsageError("fewer than two held-out tracks")
    return found


class Cost(Measure):
    """One number of what making the music took."""

    def __init__(
        self, title: str, unit: str, better: str, source: str, read: Callable[[Mapping[str, Any]], Any]
    ) -> None:
        self.title, self.unit, self.better, self.source, self._read = title, unit, better, source, read

    def figure(self, name: str, inputs: MetricInputs) -> MetricResult:
        """Read it off."""
        the_model(inputs)
        value = self._read(inputs.cost)
        if value is None or not np.isfinite(value):
            raise UsageError(
                "it was not measured: the kernel exposes no counter, or the model's record does not have it"
            )
        made = Estimate(float(value), float("nan"), float("nan"), 1)
        return MetricResult(name, self.title, self.unit, self.better, self.source, made)


def _mean(x: Any) -> float:
    return float(np.mean(x))


def _training(cost: Mapping[str, Any]) -> float | None:
    metrics = cost.get("training", {})
    hours, minutes = metrics.get("audio_hours"), metrics.get("minutes")
    return hours * 60 / minutes if hours and minutes else None


LIKELIHOOD, ECHO = Likelihood(), Reproduction()
PLAYING_SPEED = Cost(
    "playing",
    "× real time",
    "higher",
    "sixteen streams at a time, files written",
    lambda c: c.get("generation_real_time"),
)
TRAINING_SPEED = Cost("training", "× real time", "higher", "sound read per time of training", _training)
MEMORY = Cost("memory while playing", "MB", "lower", "RSS of the process", lambda c: c.get("rss_mb"))
MODEL_SIZE = Cost("weights", "bytes", "lower", "as they are played", lambda c: c.get("model_bytes"))
ENERGY = Cost(
    "energy", "J per second of sound", "lower", "powercap, whole machine", lambda c: c.get("joules_per_second")
)
