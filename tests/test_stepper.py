"""The compiled stepper equals the network, is reproducible and forks; its sampler follows the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from noizenet.base.errors import ConfigError, UsageError
from noizenet.model import CELLS
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.factory import make_network
from noizenet.model.network import Network
from noizenet.model.numeric import draw_class
from noizenet.model.plain import ordinal_code
from noizenet.model.sampling import Sampling, probabilities
from noizenet.model.stepper import Stepper

TOLERANCE = 1e-4
CASES = [(cell, layers, kind) for cell in CELLS for layers in (1, 3) for kind in ("classes", "vectors")]


def make(cell: str = "lstm", layers: int = 1, kind: str = "classes", hidden: int = 20, genres: int = 3) -> Network:
    torch.manual_seed(3)
    options = ModelOptions(
        cell=cell, layers=layers, hidden=hidden, embedding=8, genre_embedding=4,
        head="categorical" if kind == "classes" else "point",
    )  # fmt: skip
    shape = (16, 1) if kind == "classes" else (0, 5)
    return make_network(Architecture(options, kind, *shape, genres)).eval()


def start(network: Network) -> np.ndarray:
    return np.full((1, 1), 8) if network.architecture.kind == "classes" else np.zeros((1, 5), np.float32)


def frames(network: Network, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if network.architecture.kind == "classes":
        return rng.integers(0, 16, (count, 1)).astype(np.int16)
    return rng.standard_normal((count, 5)).astype(np.float32)


@pytest.mark.parametrize(("cell", "layers", "kind"), CASES)
def test_ten_thousand_forced_steps_equal_the_network(cell: str, layers: int, kind: str) -> None:
    network = make(cell, layers, kind)
    given_frames = frames(network, 10_000)
    stepper = Stepper(network, start(network))
    mix = np.array([0.5, 0.3, 0.2], np.float32)
    stepper.set_genre(mix)
    compiled = stepper.predict(given_frames)
    before = torch.from_numpy(np.concatenate([start(network), given_frames[:-1]]).astype(given_frames.dtype))[None]
    with torch.inference_mode():
        whole, _ = network(
            before.int() if kind == "classes" else before, torch.from_numpy(mix)[None], network.start_state(1)
        )
    assert np.abs(compiled - whole[0].numpy()).max() < TOLERANCE


@pytest.mark.parametrize("kind", ["classes", "vectors"])
def test_single_steps_equal_the_sequence(kind: str) -> None:
    network = make("gru", 2, kind)
    x = torch.from_numpy(frames(network, 30))[None]
    x = x.int() if kind == "classes" else x
    mix = torch.tensor([[1.0, 0, 0]])
    with torch.inference_mode():
        whole, after = network(x, mix, network.start_state(1))
        state = network.start_state(1)
        for t in range(30):
            y, state = network.step(x[:, t], mix, state)
            torch.testing.assert_close(y, whole[:, t], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state, after, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["classes", "vectors"])
def test_runs_are_reproducible_and_do_not_depend_on_the_chunks(kind: str) -> None:
    network = make(kind=kind)
    injection = {"inject_every": 7, "inject_amount": 0.5}
    whole = Stepper(network, start(network), 5).run(500, **injection)  # type: ignore[arg-type]
    cut = Stepper(network, start(network), 5)
    parts = [cut.run(n, **injection) for n in (1, 2, 97, 400)]  # type: ignore[arg-type]
    assert np.array_equal(whole, np.concatenate(parts))
    other = Stepper(network, start(network), 6).run(500, **injection)  # type: ignore[arg-type]
    assert not np.array_equal(whole, other)


def test_save_restore_and_fork() -> None:
    network = make()
    stepper = Stepper(network, start(network), 1)
    stepper.run(50)
    saved = stepper.save()
    branch = stepper.fork()
    continued = stepper.run(100)
    assert np.array_equal(branch.run(100), continued)
    stepper.restore(saved)
    assert np.array_equal(stepper.run(100), continued)
    stepper.reset(1)
    assert np.array_equal(stepper.run(10), Stepper(network, start(network), 1).run(10))


def test_noise_is_added_to_every_nth_frame_only() -> None:
    network = make(kind="vectors")
    with torch.no_grad():
        for p in network.parameters():
            p.zero_()
    out = Stepper(network, start(network)).run(20, inject_every=5, inject_amount=1.0)
    noisy = np.nonzero(np.abs(out).sum(1))[0]
    assert list(noisy) == [4, 9, 14, 19]


def test_the_genre_has_an_effect_and_mixes_are_checked() -> None:
    network = make()
    outputs = []
    for genre in range(3):
        stepper = Stepper(network, start(network))
        stepper.set_genre(np.eye(3)[genre])
        outputs.append(stepper.predict(frames(network, 5)))
    assert not np.allclose(outputs[0], outputs[1])
    with pytest.raises(UsageError, match="expected 3"):
        stepper.set_genre(np.ones(2))


# Multiples of 1/16: no two are so close that their probabilities tie in float32.
logits_of = st.lists(st.integers(-128, 128).map(lambda k: k / 16), min_size=2, max_size=40, unique=True)


@settings(max_examples=100, deadline=None)
@given(
    values=logits_of, temperature=st.sampled_from([0.3, 1.0, 2.0]), top_k=st.integers(0, 45),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
)  # fmt: skip
def test_the_compiled_sampler_equals_the_reference(
    values: list[float], temperature: float, top_k: int, top_p: float
) -> None:
    """Each uniform number gives the class that the reference's cumulative distribution gives."""
    logits = np.array(values, np.float32)
    p = probabilities(torch.from_numpy(logits).double(), Sampling(temperature, top_k, top_p)).numpy()
    plain = np.sort(probabilities(torch.from_numpy(logits).double(), Sampling(temperature, top_k)).numpy())[::-1]
    assume(np.abs(np.cumsum(plain) - top_p).min() > 1e-4 or top_p == 1)  # a sum that ends at top-p: rounding decides
    edges = np.cumsum(p)
    for u in np.linspace(0.001, 0.999, 37):
        if np.abs(edges - u).min() < 1e-3:  # on an edge, rounding decides
            continue
        drawn = draw_class(logits.copy(), u, temperature, top_k, top_p)
        assert drawn == int(np.searchsorted(edges, u, side="right"))


def test_samples_follow_the_distribution() -> None:
    network = make(hidden=4)
    with torch.no_grad():
        for p in network.stack.parameters():
            p.zero_()
    bias = network.head.linear.bias.detach()
    drawn = Stepper(network, start(network), 9).run(40_000)[:, 0]
    expected = torch.softmax(bias, -1).numpy() * 40_000
    assert stats.chisquare(np.bincount(drawn, minlength=16), expected * (40_000 / expected.sum())).pvalue > 1e-4


def test_temperature_zero_is_argmax() -> None:
    logits = np.array([0.1, 3, 2], np.float32)
    assert all(draw_class(logits.copy(), u, 0.0, 0, 1.0) == 1 for u in (0.0, 0.5, 0.999))
    assert probabilities(torch.from_numpy(logits), Sampling(temperature=0)).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1}, {"temperature": float("inf")}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0}, {"top_p": 1.1}],
)  # fmt: skip
def test_wrong_sampling(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Sampling(**wrong)  # type: ignore[arg-type]


def test_kind_and_head_must_match() -> None:
    with pytest.raises(ConfigError, match="predicts numbers"):
        Architecture(ModelOptions(head="point"), "classes", 16, 1, 0)
    with pytest.raises(ConfigError, match="predicts classes"):
        Architecture(ModelOptions(head="categorical"), "vectors", 0, 3, 0)
    with pytest.raises(ConfigError, match="at most 10"):
        ModelOptions(layers=11)


def test_the_ordinal_code_makes_neighbours_similar() -> None:
    code = ordinal_code(256, 32)
    near = (code[1:] - code[:-1]).norm(dim=1)
    far = (code[128:] - code[:128]).norm(dim=1)
    assert near.max() < far.min()
