"""Contracts: every registered part keeps to its promise, whoever writes it."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from noizenet.base.errors import UsageError
from noizenet.base.registry import Registry
from noizenet.cli import COMMANDS
from noizenet.corpus import CORPORA
from noizenet.evaluation import METRICS
from noizenet.evaluation.metric import MetricInputs
from noizenet.generation import PROMPT_NOISES
from noizenet.model import CELLS, HEADS
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.representation import REPRESENTATIONS
from noizenet.training import OPTIMIZERS, RECIPES, SCHEDULES
from noizenet.training.options import configure
from noizenet.views import VIEWS

ALL = [COMMANDS, CORPORA, METRICS, PROMPT_NOISES, CELLS, HEADS, REPRESENTATIONS, OPTIMIZERS, SCHEDULES, VIEWS]


@pytest.mark.parametrize("registry", ALL, ids=lambda r: r.what)
def test_every_entry_loads_and_is_documented(registry: Registry) -> None:
    assert len(registry)
    for name in registry:
        assert inspect.getdoc(registry.load(name)), name
    with pytest.raises(UsageError, match="unknown"):
        registry.load("no-such-name")


def test_a_mistyped_name_is_corrected() -> None:
    with pytest.raises(UsageError, match="did you mean 'lstm'"):
        CELLS.load("lsmt")


@pytest.mark.parametrize(
    ("given", "known"), [("\u00e9", "e\u0301"), ("mod ", "mod"), ("m\u200bod", "mod"), ("\uc74c\uc545", "\u110b\u1173\u11b7\u110b\u1161\u11a8")]
)  # fmt: skip
def test_a_name_that_looks_like_a_known_one_is_not_called_unknown_beside_it(given: str, known: str) -> None:
    with pytest.raises(UsageError) as caught:
        Registry("model", {known: "math:sqrt", "other": "math:sin"}).load(given)
    assert "looks the same but has other characters" in str(caught.value)
    assert ascii(known) in str(caught.value)
    assert ascii(given) in str(caught.value)


@pytest.mark.parametrize("name", HEADS)
def test_heads_have_a_loss_and_sample(name: str) -> None:
    from noizenet.model.sampling import Sampling

    torch.manual_seed(0)
    tiers = ((4, 8),) if name == "mixture" else ()
    options = ModelOptions(head=name, tiers=tiers, mixtures=3)
    kind = ("vectors", 0, 9) if name == "point" else ("classes", 9, 1)
    head = HEADS.load(name)(6, Architecture(options, *kind, 0))
    h = torch.randn(2, 5, 6)
    if name == "depth":  # is told the codes before each
        output = head(h, torch.randint(0, 9, (2, 5, 1)))
        assert torch.equal(head.mode(output)[..., 0], output.argmax(-1))
    else:
        output = head.around(h, torch.zeros(2, 5, 1)) if name == "mixture" else head(h)
        assert head.mean(output, torch.linspace(-1, 1, 9)).shape == (2, 5, 9 if name == "point" else 1)
    assert output.shape == (2, 5, 9)
    target = torch.randint(0, 9, (2, 5, 1)) if head.distribution else torch.randn(2, 5, 9)
    loss = head.loss(output, target)
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    drawn = head.sample(output[:, 0], torch.Generator().manual_seed(0), Sampling())
    assert drawn.shape == ((2, 1) if head.distribution else (2, 9))


@pytest.mark.parametrize("name", CORPORA)
def test_corpora_say_licence_citation_and_checksums(name: str) -> None:
    source = CORPORA.load(name)
    assert source.licence
    assert source.citation
    for file, digest in source.checksums.items():
        assert file.endswith(".zip")
        assert len(digest) == 40
        int(digest, 16)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_valid_and_round_trips(name: str, tmp_path: object) -> None:
    from pathlib import Path

    config = configure(name)
    path = Path(str(tmp_path)) / "c.toml"
    path.write_text(config.to_toml())
    assert configure(name, path) == config


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_stay_between_zero_and_one(name: str) -> None:
    schedule = SCHEDULES.load(name)
    history = list(np.linspace(3, 4, 20))
    for progress in np.linspace(0, 1.2, 40):
        assert 0 < schedule(float(progress), history) <= 1


@pytest.mark.parametrize("name", PROMPT_NOISES)
def test_noise_seeds_are_repeatable_and_bounded(name: str) -> None:
    make = PROMPT_NOISES.load(name)
    a, b, c = (make(np.random.default_rng(s), 20_000, 22_050) for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert a.dtype == np.float32
    assert 0.05 < a.std() < 0.2
    assert np.abs(a).max() <= 1


@pytest.mark.parametrize("name", METRICS)
class TestMetrics:
    def test_it_declares_title_source_and_direction(self, name: str) -> None:
        metric = METRICS.load(name)
        assert metric.title
        assert metric.source
        assert metric.better in ("lower", "higher")
        assert isinstance(metric.unit, str)

    def test_without_inputs_it_raises_a_usage_error(self, name: str) -> None:
        nothing = MetricInputs([], [], [], {}, corpus=None)  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            METRICS.load(name).compute(name, nothing)
