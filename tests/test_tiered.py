"""Tiered networks: exact probabilities, causality, and a compiled stream that equals the network."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tone
from scipy import stats
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter
from scipy.special import expit

from noizenet.audio.waveform import Waveform
from noizenet.base.errors import ConfigError, UsageError
from noizenet.generation.controls import Controls
from noizenet.generation.stream import Stream
from noizenet.model import CELLS, coarse
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.batch import step_batch
from noizenet.model.factory import make_network
from noizenet.model.features import LPC_FLOOR, LPC_WINDOW, lpc_taper
from noizenet.model.kernel_tiered import class_of, draw_mixture
from noizenet.model.lpc import predictors
from noizenet.model.mixture import MixtureHead, draw
from noizenet.model.sampling import Sampling
from noizenet.model.stepper import Stepper
from noizenet.model.tiered import TieredNetwork, random_tilt
from noizenet.representation.linear import Linear
from noizenet.representation.mulaw import MuLaw
from noizenet.store.model import load

TOLERANCE = 1e-4
VARIANTS = {
    "mixture": {},
    "no-coarse": {"coarse_features": False, "prediction": "fixed", "prediction_order": 7},
    "no-lpc": {"lpc_order": 0, "mixtures": 4},
    "no-prediction": {"prediction_order": 0, "depth": 0},
    "tables": {"embedded": 3, "depth": 2},
    "categorical": {"head": "categorical", "embedded": 2},
    "one-tier": {"tiers": ((8, 20),)},
    "three-tiers": {"tiers": ((2, 12), (4, 20), (16, 9))},
}


def make(
    cell: str = "lstm", genres: int = 3, levels: int = 256, shake: float = 0.1, **options: object
) -> TieredNetwork:
    torch.manual_seed(3)
    chosen = {
        "tiers": ((4, 20), (16, 28)), "tier_inputs": 24, "width": 20, "lookback": 13, "head": "mixture",
        "genre_embedding": 4, **options,
    }  # fmt: skip
    values = MuLaw(levels=levels).values() if levels <= 4096 else Linear(levels=levels).values()
    o = ModelOptions(cell=cell, **chosen)  # type: ignore[arg-type]
    network = make_network(Architecture(o, "classes", levels, 1, genres), torch.from_numpy(values))
    assert isinstance(network, TieredNetwork)
    with torch.no_grad():  # away from the initial values: every part has an effect
        for p in (*network.parameters(), *(b for name, b in network.named_buffers() if name == "coarse.logit_bias")):
            p.add_(shake * torch.randn_like(p))
    return network.eval()


def song(count: int, levels: int = 256) -> np.ndarray:
    rng = np.random.default_rng(0)
    wave = 0.25 * np.sin(np.arange(count) * 0.05) + 0.02 * rng.standard_normal(count)
    classes = (wave + 1) / 2 * (levels - 1)
    return classes.astype(np.int16 if levels <= 2**15 else np.int32)[:, None]


def before(frames: np.ndarray, start: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([start, frames[:-1]]).astype(np.int64))[None]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("cell", CELLS)
def test_ten_thousand_forced_steps_equal_the_network(cell: str, variant: str) -> None:
    network = make(cell, **VARIANTS[variant])
    frames, start = song(10_240), np.full((1, 1), 128)
    stepper, mix = Stepper(network, start), np.array([0.5, 0.3, 0.2], np.float32)
    stepper.set_genre(mix)
    compiled = np.concatenate([stepper.predict(part) for part in np.split(frames, [4096, 8192])])
    with torch.inference_mode():
        whole, _ = network(
            before(frames, start), torch.from_numpy(mix)[None], network.start_state(1), torch.from_numpy(frames)[None]
        )
        bits = float(network.head.loss(whole[0], torch.from_numpy(frames))) / math.log(2)
    assert np.abs(compiled - whole[0].numpy()).max() < TOLERANCE
    assert stepper.pop_nll() == pytest.approx(bits, rel=0.05)  # measured at every 16th sample


def test_sixteen_bits() -> None:
    network = make(levels=65536)
    frames, start = song(640, 65536), np.full((1, 1), 32768)
    stepper = Stepper(network, start)
    stepper.set_genre(np.array([1, 0, 0]))
    compiled = stepper.predict(frames)
    with torch.inference_mode():
        whole, _ = network(
            before(frames, start), torch.tensor([[1.0, 0, 0]]), network.start_state(1), torch.from_numpy(frames)[None]
        )
    assert np.abs(compiled - whole[0].numpy()).max() < TOLERANCE
    assert stepper.run(50).dtype == np.int32


def test_chunks_with_carried_state_equal_the_whole() -> None:
    network = make()
    x = torch.from_numpy(song(97)).long()[None]
    x, y, mix = x[:, :-1], x[:, 1:], torch.tensor([[1.0, 0, 0]])
    with torch.inference_mode():
        whole, after = network(x, mix, network.start_state(1), y)
        state, parts = network.start_state(1), []
        for first, last in ((0, 16), (16, 64), (64, 96)):
            part, state = network(x[:, first:last], mix, state, y[:, first:last])
            parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    torch.testing.assert_close(state, after)


def test_outputs_are_causal() -> None:
    """Changing a sample changes no prediction before it, except through the coarse features of its own step."""
    x = torch.from_numpy(song(65)).long()[None]
    for has_coarse in (False, True):
        network = make(coarse_features=has_coarse)
        for at in (17, 33, 40):
            changed = x.clone()
            changed[0, at] += 9
            with torch.inference_mode():
                args = torch.tensor([[1.0, 0, 0]]), network.start_state(1)
                a, _ = network(x[:, :-1], *args, x[:, 1:])
                b, _ = network(changed[:, :-1], *args, changed[:, 1:])
            same = at if not has_coarse else (at - 1) // 16 * 16
            assert torch.equal(a[:, :same], b[:, :same])
            assert not torch.allclose(a[:, at:], b[:, at:])


def test_every_weight_and_the_initial_state_have_a_gradient() -> None:
    network = make(embedded=1).train()
    x = torch.from_numpy(song(33)).long()[None]
    nats, _, _ = network.compute_loss(x[:, :-1], x[:, 1:], torch.tensor([[1.0, 0, 0]]), network.start_state(1))
    nats.backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


@pytest.mark.parametrize("levels", [16, 256, 65536])
def test_probabilities_sum_to_one_and_are_exact(levels: int) -> None:
    network = make(levels=levels)
    head = network.head
    assert isinstance(head, MixtureHead)
    rng = np.random.default_rng(1)
    k = head.mixtures
    means, scales = rng.uniform(-0.5, 0.5, k), np.exp(rng.uniform(-7, -1, k))
    output = torch.tensor(np.concatenate([rng.standard_normal(k), means, np.log(scales)]), dtype=torch.float32)
    p = head.log_probability(output.expand(levels, -1), torch.arange(levels)).exp().double().numpy()
    assert p.sum() == pytest.approx(1, abs=2e-3 if levels > 4096 else 1e-5)
    weights = np.exp(output[:k].double().numpy())
    edges = head.edges.double().numpy()[:, None]
    cumulative = (weights / weights.sum() * expit((edges - means) / scales)).sum(1)
    np.testing.assert_allclose(p, np.diff(cumulative), atol=1e-6, rtol=2e-3)


def test_far_bins_keep_their_precision() -> None:
    head = make(levels=256).head
    assert isinstance(head, MixtureHead)
    k = head.mixtures
    output = torch.tensor([0.0] * k + [-0.9] * k + [-8.0] * k)
    nats = -head.log_probability(output, torch.tensor(250))
    gap = float(head.edges[250]) + 0.9
    assert float(nats) == pytest.approx(gap * math.exp(8), rel=1e-3)  # the tail falls like e^(-x / s)
    assert torch.isfinite(nats)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7), Sampling(1.0, 0, 0.6), Sampling(0.0)])
def test_the_compiled_draw_equals_the_reference(sampling: Sampling) -> None:
    rng = np.random.default_rng(5)
    edges = make(levels=64).head.edges
    assert isinstance(edges, torch.Tensor)
    for _ in range(200):
        output = np.concatenate([rng.standard_normal(4), rng.uniform(-0.8, 0.8, 4), rng.uniform(-6, -1, 4)])
        output = output.astype(np.float32)
        u = float(rng.random())
        expected = int(draw(torch.from_numpy(output), torch.tensor(u, dtype=torch.float64), sampling, edges))
        got = draw_mixture(
            output.copy(), u, sampling.temperature, sampling.top_p, edges.numpy(), np.zeros(4, np.float32)
        )
        assert abs(got - expected) <= 1  # on a bin's edge, rounding decides


def test_draws_follow_the_distribution() -> None:
    network = make(levels=32, mixtures=4)
    head = network.head
    assert isinstance(head, MixtureHead)
    output = torch.tensor([0.3, -0.2, 0.1, 0.0, -0.4, 0.0, 0.1, 0.5, -2.5, -3.0, -2.0, -1.5])
    p = head.log_probability(output.expand(32, -1), torch.arange(32)).exp().double().numpy()
    uniforms = np.random.default_rng(2).random(40_000)
    edges, row = head.edges.numpy(), output.numpy()
    drawn = [draw_mixture(row.copy(), u, 1.0, 1.0, edges, np.zeros(4, np.float32)) for u in uniforms]
    keep = p * 40_000 > 5
    counts = np.bincount(drawn, minlength=32)[keep]
    expected = p[keep] / p[keep].sum() * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_classes_of_values() -> None:
    edges = np.array([-1e3, -0.5, 0.0, 0.5, 1e3], np.float32)
    assert [class_of(v, edges) for v in (-9.0, -0.5, -0.1, 0.0, 0.4, 0.5, 9.0)] == [0, 1, 1, 2, 2, 3, 3]


def test_runs_are_reproducible_fork_and_do_not_depend_on_the_chunks() -> None:
    network, start = make(shake=0.01), np.full((1, 1), 128)
    injection = {"inject_every": 7, "inject_amount": 0.1}
    whole = Stepper(network, start, 5).run(500, **injection)  # type: ignore[arg-type]
    cut = Stepper(network, start, 5)
    parts = [cut.run(n, **injection) for n in (1, 2, 97, 400)]  # type: ignore[arg-type]
    assert np.array_equal(whole, np.concatenate(parts))
    saved, branch = cut.save(), cut.fork()
    on = cut.run(100)
    assert np.array_equal(branch.run(100), on)
    cut.restore(saved)
    assert np.array_equal(cut.run(100), on)
    cut.restore(saved, randomness=False)
    assert not np.array_equal(cut.run(100), on)
    assert not np.array_equal(whole, Stepper(network, start, 6).run(500, **injection))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "variant", ["mixture", "no-coarse", "no-lpc", "categorical", "tables", "one-tier", "three-tiers"]
)
@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_of_streams_equals_single_streams(cell: str, variant: str) -> None:
    network = make(cell, shake=0.02, **VARIANTS[variant])
    first = Stepper(network, np.full((1, 1), 128))
    streams = []
    for i in range(5):
        stream = first.fork()
        stream.reset(i)
        stream.set_genre(np.eye(3)[i % 3])
        streams.append(stream)
    separate = [s.fork() for s in streams]
    batched = np.concatenate([step_batch(streams, n) for n in (37, 200)], 1)
    for i, s in enumerate(separate):
        frames = s.run(237)
        same = (frames == batched[i]).all(-1)
        assert same[:50].all()
        assert same.mean() > 0.6  # rounding may make them diverge late, never early
    assert len({t.tobytes() for t in batched}) == 5
    with pytest.raises(UsageError, match="same position"):
        step_batch([streams[0], first], 3)
    with pytest.raises(UsageError, match="share one"):
        step_batch([streams[0], Stepper(network, np.full((1, 1), 128))], 3)


@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.02), ("int8", 0.05)])
def test_lower_precision_costs_few_bits_per_sample(sample_model: Path, precision: str, most: float) -> None:
    model = load(sample_model)
    frames = model.representation.encode(_wave(model.representation.sample_rate))
    target = torch.from_numpy(frames)
    bits = []
    for kind in ("fp32", precision):
        stepper = Stepper(model.network, model.representation.silence(), precision=kind)
        output = torch.from_numpy(stepper.predict(frames))
        bits.append(float(model.network.head.loss(output, target)) / math.log(2))
    assert abs(bits[1] - bits[0]) < most
    small, full = (Stepper(model.network, model.representation.silence(), precision=p) for p in (precision, "fp32"))
    assert small.bytes_per_frame == pytest.approx(full.bytes_per_frame / (2 if precision == "bf16" else 4))


def _wave(rate: int) -> Waveform:
    return Waveform(np.asarray(tone(2.0, rate) * 0.5, np.float32), rate)


def test_lpc_solves_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    past = np.zeros((4, LPC_WINDOW))
    for i in range(4):
        noise = rng.standard_normal(LPC_WINDOW + 100) * 0.01
        past[i] = lfilter([1], [1, -1.8 * math.cos(0.2 + 0.3 * i), 0.81], noise)[100:]
    taps, log_scale, level = predictors(torch.from_numpy(past).float(), 12)
    for i in range(4):
        windowed = past[i].astype(np.float32) * lpc_taper()
        r = np.correlate(windowed, windowed, "full")[LPC_WINDOW - 1 : LPC_WINDOW + 12]
        r[0] = r[0] * (1 + LPC_FLOOR) + 1e-9
        expected = solve_toeplitz(r[:-1], r[1:])
        np.testing.assert_allclose(taps[i].numpy()[::-1], expected, atol=1e-4)
        assert np.abs(np.roots(np.concatenate([[1], -expected]))).max() < 1  # the synthesis filter is stable
        assert float(level[i]) == pytest.approx(math.log(math.sqrt(r[0] / np.square(lpc_taper()).sum())), abs=1e-4)
        assert float(log_scale[i]) == pytest.approx(math.log(0.01 * math.sqrt(3) / math.pi), abs=0.15)
    silent, scale, _ = predictors(torch.zeros(1, LPC_WINDOW), 12)
    assert torch.isfinite(silent).all()
    assert float(scale[0]) == pytest.approx(math.log(1e-5), abs=0.1)


def test_coarse_features_have_the_expected_values() -> None:
    rate, hz = 8000, 500.0
    wave = torch.from_numpy(0.5 * np.sin(2 * np.pi * hz * np.arange(4000) / rate)).float()
    level, bright, sharp = coarse.measure(wave).tolist()
    assert level == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.05)
    assert bright == pytest.approx(20 * math.log10(2 * math.sin(math.pi * hz / rate)), abs=0.05)
    assert sharp == pytest.approx(bright, abs=0.05)  # the differences of a sine are a sine
    louder = coarse.measure(1.5 * wave)
    assert louder[0] - level == pytest.approx(20 * math.log10(1.5), abs=0.01)
    assert coarse.classify(coarse.measure(torch.zeros(64))).tolist() == [0, 6, 21]
    classes = coarse.classify(torch.tensor([[99.0] * 3, [-200.0] * 3]))
    assert classes.tolist() == [[47, 23, 23], [0, 0, 0]]
    noise = coarse.measure(torch.randn(1 << 16, generator=torch.Generator().manual_seed(0)))
    assert noise.tolist() == pytest.approx([0, 10 * math.log10(2), 10 * math.log10(3)], abs=0.1)


def test_random_tilt_changes_only_the_spectral_slope() -> None:
    torch.manual_seed(0)
    wave = torch.randn(4, 4096)
    assert torch.equal(random_tilt(wave, 0.0), wave)
    tilted = random_tilt(wave, 0.3)
    spectra = [torch.fft.rfft(x) for x in (wave, tilted)]
    ratio = spectra[1] / spectra[0]
    assert ratio.imag.abs().max() < 1e-3 * ratio.real.max()  # phases do not change
    decibels = 20 * torch.log10(ratio.real)
    octave = decibels[:, [128, 256, 512, 1024]]
    assert torch.allclose(
        octave.diff(), octave.diff().mean(1, keepdim=True).expand(-1, 3), atol=0.05
    )  # a straight slope
    assert octave.diff().mean(1).std() > 0.5
    assert torch.allclose(tilted.square().mean(1), wave.square().mean(1), rtol=1e-3)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="a multiple of"):
        ModelOptions(tiers=((8, 16), (12, 16)))
    with pytest.raises(ConfigError, match="a mixture needs"):
        Architecture(ModelOptions(head="mixture"), "classes", 16, 1, 0)
    with pytest.raises(ConfigError, match="one by one"):
        Architecture(ModelOptions(head="point", tiers=((8, 16),)), "vectors", 0, 3, 0)
    with pytest.raises(ConfigError, match="too many"):
        Architecture(ModelOptions(tiers=((8, 16),)), "classes", 65536, 1, 0)
    with pytest.raises(ValueError, match="not a multiple"):
        make()(torch.zeros(1, 17, 1), torch.ones(1, 3), make().start_state(1))
    with pytest.raises(ValueError, match="give targets"):
        make()(torch.zeros(1, 16, 1), torch.ones(1, 3), make().start_state(1))
    with pytest.raises(UsageError, match="precision"):
        Stepper(make(), np.full((1, 1), 128), precision="fp8")


def test_top_k_is_refused_where_there_are_no_classes(sample_model: Path) -> None:
    with pytest.raises(UsageError, match="use top-p"):
        Stream(load(sample_model), Controls(top_k=3))
