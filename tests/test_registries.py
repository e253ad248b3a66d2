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


@pytest.mark.parametrize("name", CELLS)
class TestCells:
    B, T, I, H = 3, 11, 5, 7

    def make(self, name: str) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
        torch.manual_seed(1)
        cell = CELLS.load(name)(self.I, self.H).double()
        x = torch.randn(self.B, self.T, self.I, dtype=torch.float64)
        state = torch.randn(cell.states, self.B, self.H, dtype=torch.float64)
        return cell, x, state

    def test_steps_equal_the_sequence(self, name: str) -> None:
        cell, x, state = self.make(name)
        whole, after = cell(x, state)
        outputs = []
        for t in range(self.T):
            y, state = cell.step(x[:, t], state)
            outputs.append(y)
        torch.testing.assert_close(torch.stack(outputs, 1), whole, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(state, after, rtol=1e-10, atol=1e-12)

    def test_step_equals_torchs_own_cell(self, name: str) -> None:
        cell, x, state = self.make(name)
        theirs = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[name](self.I, self.H)
        theirs = theirs.double()
        own = {k.removesuffix("_l0"): v for k, v in cell.kernel.state_dict().items()}
        theirs.load_state_dict(own)
        given = (state[0], state[1]) if name == "lstm" else state[0]
        result = theirs(x[:, 0], given)
        y, after = cell.step(x[:, 0], state)
        h = result[0] if name == "lstm" else result
        torch.testing.assert_close(y, h, rtol=1e-12, atol=1e-12)
        if name == "lstm":
            torch.testing.assert_close(after[1], result[1], rtol=1e-12, atol=1e-12)

    def test_gradients_of_steps_and_sequence_agree(self, name: str) -> None:
        cell, x, state = self.make(name)
        cell(x, state)[0].square().sum().backward()
        whole = [p.grad.clone() for p in cell.parameters()]
        cell.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for t in range(self.T):
            y, state = cell.step(x[:, t], state)
            total = total + y.square().sum()
        total.backward()
        for a, b in zip(whole, (p.grad for p in cell.parameters()), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)

    def test_two_chunks_with_carried_state_equal_the_whole(self, name: str) -> None:
        cell, x, state = self.make(name)
        whole, after = cell(x, state)
        first, middle = cell(x[:, :4], state)
        second, end = cell(x[:, 4:], middle)
        torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(end, after, rtol=1e-10, atol=1e-12)

    def test_no_output_depends_on_a_later_input(self, name: str) -> None:
        cell, x, state = self.make(name)
        x.requires_grad_(True)
        cell(x, state)[0][:, 5].sum().backward()
        assert x.grad is not None
        assert torch.all(x.grad[:, 6:] == 0)
        assert torch.all(x.grad[:, :6].abs().sum((0, 2)) > 0)

    def test_gates_are_named_and_bounded(self, name: str) -> None:
        cell, x, state = self.make(name)
        for gate in cell.gates(x[:, 0], state).values():
            assert gate.shape == (self.B, self.H)
            assert gate.abs().max() <= 1


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
