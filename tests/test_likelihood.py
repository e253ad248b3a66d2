"""Likelihood and its baselines, on signals of known entropy."""

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


def test_uniform_noise_costs_its_entropy() -> None:
    g = np.random.default_rng(0)
    train, rows = (g.integers(0, 16, (50, 4000)) for _ in range(2))
    values = np.linspace(-1, 1, 16)
    assert zeroth_order(train, rows, 16).mean() == pytest.approx(4, abs=0.01)
    assert persistence(train, rows, 16).mean() == pytest.approx(4, abs=0.3)  # differences carry no information either
    assert 3.9 < linear_prediction(rows[:2], values).mean() < 4.6


def test_a_constant_costs_nothing_with_persistence_but_not_with_a_histogram() -> None:
    rows = np.repeat(np.random.default_rng(0).integers(0, 256, (200, 1)), 2000, 1)
    assert persistence(rows, rows, 256).max() < 0.01
    assert zeroth_order(rows, rows, 256).mean() > 6


def test_linear_prediction_finds_the_noise_under_a_resonance() -> None:
    """The cost of an autoregression is the entropy of its innovation: log2 of its spread in bins, plus a constant."""
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
    assert ideal - 0.05 < found < ideal + 0.6  # quantisation noise is amplified by the prediction
    assert found < persistence(rows, rows, 1024).mean() - 0.5


def test_a_models_bits_are_repeatable_and_depend_on_its_weights(corpus: Corpus, sample_model: Path) -> None:
    model = load(sample_model)
    found = likelihood(model, corpus)
    assert found == likelihood(model, corpus)
    assert 0 < len(found["genres"]) <= len(corpus.genres)
    for row in found["genres"].values():
        assert 0 < row["bits"] < row["zeroth_order"] < 8.5
        assert row["bits_per_second"] == pytest.approx(row["bits"] * corpus.sample_rate)
    # Without its trained weights the bits increase.
    network = model.network
    with torch.no_grad():
        network.head.linear.weight.zero_()
    assert likelihood(model, corpus)["mean"]["bits"] > found["mean"]["bits"]


def test_a_model_of_another_rate_is_rejected_with_a_reason(corpus: Corpus, sample_model: Path) -> None:
    model = load(sample_model)
    other = Model(model.weights, MuLaw(sample_rate=16_000, channels=1), model.genres, {})
    with pytest.raises(UsageError, match="build the corpus again"):
        likelihood(other, corpus)


def test_the_beat_conditioning_is_that_of_validation(
    corpus: Corpus, token_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from noizenet.audio.beats import beat_phase_ids, find_beats
    from noizenet.evaluation.likelihood import _excerpts
    from noizenet.training.sources import BeatOptions
    from noizenet.training.windows import WindowReader

    monkeypatch.setattr("noizenet.evaluation.likelihood.TRAINING_EXCERPTS", 2)
    model = load(token_model)
    clock = model.architecture.options.clock
    assert clock
    with torch.no_grad():  # a short training has not yet learned to use the beat
        model.network.phase_embedding.weight[1:].normal_(0, 0.5)
    found = likelihood(model, corpus)
    rows = [*found["genres"].values(), found["mean"]]
    assert any(row["bits"] != row["bits_without_beat"] for row in rows)
    with torch.no_grad():
        model.network.phase_embedding.weight.zero_()
        for table in model.network.head.phase_embedding:
            table.weight.zero_()
    still = likelihood(model, corpus)
    assert still["mean"]["bits"] == pytest.approx(still["mean"]["bits_without_beat"])
    # Zero embeddings equal an unknown beat.
    assert still["mean"]["bits"] == pytest.approx(found["mean"]["bits_without_beat"])

    tracks = corpus.split("train")[:1]
    excerpts = _excerpts(model, corpus, tracks, 1, [])
    phases = find_beats(corpus.mono(tracks[0]), corpus.sample_rate)
    assert excerpts.beat_phase.shape == (1, excerpts.windows.shape[1] - 1)
    assert set(np.unique(excerpts.beat_phase)) <= set(range(clock + 1))
    # In a track without silence, the conditioning of a frame is the same as in training.
    reader = WindowReader(
        corpus, tracks, model.representation, batch=1, window=8, segment_seconds=60.0, seed=0, beat=BeatOptions(clock)
    )
    phases_in_training = reader.source.encoded.phases(tracks[0])  # type: ignore[attr-defined]
    expected = phases.phases((np.arange(len(phases_in_training)) + 0.5) / model.representation.frame_rate)
    np.testing.assert_array_equal(
        beat_phase_ids(phases_in_training, clock), beat_phase_ids(expected.astype(np.float32), clock)
    )
