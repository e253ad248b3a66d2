"""Likelihood beside baselines, on signals whose cost is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from noizenet.base.errors import UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.evaluation.baselines import linear_prediction, persistence, zeroth_order
from noizenet.evaluation.likelihood import likelihood
from noizenet.representation.mulaw import MuLaw
from noizenet.store.model import Model, load


@pytest.fixture(autouse=True)
def _few_excerpts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noizenet.evaluation.likelihood.EXCERPTS", 2)


def test_what_is_uniform_costs_its_entropy() -> None:
    g = np.random.default_rng(0)
    train, rows = (g.integers(0, 16, (50, 4000)) for _ in range(2))
    values = np.linspace(-1, 1, 16)
    assert zeroth_order(train, rows, 16).mean() == pytest.approx(4, abs=0.01)
    assert persistence(train, rows, 16).mean() == pytest.approx(4, abs=0.3)  # differences say nothing either
    assert 3.9 < linear_prediction(rows[:2], values).mean() < 4.6


def test_what_repeats_costs_persistence_nothing_and_a_histogram_all() -> None:
    rows = np.repeat(np.random.default_rng(0).integers(0, 256, (200, 1)), 2000, 1)
    assert persistence(rows, rows, 256).max() < 0.01
    assert zeroth_order(rows, rows, 256).mean() > 6


def test_linear_prediction_finds_the_noise_under_a_resonance() -> None:
    """Of an autoregression the cost is that of its innovation: log2 of its spread in bins, and the shape's constant."""
    g = np.random.default_rng(1)
    noise = g.normal(0, 0.004, 12_000)
    x = np.zeros(12_000)
    for t in range(2, 12_000):
        x[t] = 1.9 * x[t - 1] - 0.95 * x[t - 2] + noise[t]
    width = 2 / 1024
    values = -1 + width * (np.arange(1024) + 0.5)
    rows = np.clip(((x + 1) / width).astype(int), 0, 1023)[None]
    ideal = 0.5 * math.log2(2 * math.pi * math.e * (0.004**2 + width**2 / 12)) - math.log2(width)
    found = linear_prediction(rows, values).mean()
    assert ideal - 0.05 < found < ideal + 0.6  # quantising noise is amplified by the prediction
    assert found < persistence(rows, rows, 1024).mean() - 0.5


def test_a_models_bits_are_its_own(corpus: Corpus, sample_model: Path) -> None:
    model = load(sample_model)
    found = likelihood(model, corpus)
    assert found == likelihood(model, corpus)
    assert 0 < len(found["genres"]) <= len(corpus.genres)
    for row in found["genres"].values():
        assert 0 < row["bits"] < row["zeroth_order"] < 8.5
        assert row["bits_per_second"] == pytest.approx(row["bits"] * corpus.sample_rate)
    # Without what it has learned it pays more.
    network = model.network
    with torch.no_grad():
        network.head.linear.weight.zero_()
    assert likelihood(model, corpus)["mean"]["bits"] > found["mean"]["bits"]


def test_what_has_no_likelihood_says_why(corpus: Corpus, sample_model: Path) -> None:
    model = load(sample_model)
    other = Model(model.weights, MuLaw(sample_rate=16_000, channels=1), model.genres, {})
    with pytest.raises(UsageError, match="build the corpus again"):
        likelihood(other, corpus)


def test_the_beat_is_told_as_in_validation(corpus: Corpus, token_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noizenet.audio.beats import find_beats, ticks_of
    from noizenet.evaluation.likelihood import _excerpts
    from noizenet.training.windows import WindowReader

    monkeypatch.setattr("noizenet.evaluation.likelihood.TRAINING_EXCERPTS", 2)
    model = load(token_model)
    clock = model.architecture.options.clock
    assert clock
    with torch.no_grad():  # what was trained for a moment has hardly learned to heed it
        model.network.clock.weight[1:].normal_(0, 0.5)
    found = likelihood(model, corpus)
    rows = [*found["genres"].values(), found["mean"]]
    assert any(row["bits"] != row["bits_without_beat"] for row in rows)
    with torch.no_grad():
        model.network.clock.weight.zero_()
        for table in model.network.head.beat:
            table.weight.zero_()
    still = likelihood(model, corpus)
    assert still["mean"]["bits"] == pytest.approx(still["mean"]["bits_without_beat"])
    assert still["mean"]["bits"] == pytest.approx(found["mean"]["bits_without_beat"])  # nothing told is nothing heard

    tracks = corpus.split("train")[:1]
    excerpts = _excerpts(model, corpus, tracks, 1, [])
    phases = find_beats(corpus.mono(tracks[0]), corpus.sample_rate)
    assert excerpts.beat_phase.shape == (1, excerpts.rows.shape[1] - 1)
    assert set(np.unique(excerpts.beat_phase)) <= set(range(clock + 1))
    # Where a track has no silence, its frames are told what training is told of them.
    reader = WindowReader(
        corpus, tracks, model.representation, batch=1, window=8, segment_seconds=60.0, seed=0, clock=clock
    )
    told = reader._encoded.phases(tracks[0])  # type: ignore[union-attr]
    whole = phases.phases((np.arange(len(told)) + 0.5) / model.representation.frame_rate)
    np.testing.assert_array_equal(ticks_of(told, clock), ticks_of(whole.astype(np.float32), clock))
