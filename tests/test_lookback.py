"""The beat in the phrase and the codes of some beats ago: compiled loop and network agree; frames are found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from noizenet.base.errors import ConfigError
from noizenet.generation.gates import SHOWN, visible
from noizenet.kernels.products import reduce_precision
from noizenet.model import PRECISIONS
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.batch import step_batch
from noizenet.model.factory import make_network
from noizenet.model.lookback import UNKNOWN, frames_before, steps_of
from noizenet.model.sampling import Sampling
from noizenet.model.stepper import Stepper
from noizenet.model.tokens import TokenNetwork
from noizenet.model.weights import Weights, expected_shapes

BOOKS, LEVELS, PHASES = 3, 12, 8
MIX = np.array([0.5, 0.3, 0.2], np.float32)
ALL = {"phrase": 16, "lookback_beats": (2, 4, 16), "depth_shared": True, "depth_block": "gated"}
COMBINATIONS = [
    dict(zip(ALL, values, strict=True))
    for values in itertools.product((0, 16), ((), (4,), (2, 4, 16)), (False, True), ("none", "gated"))
]

MATRICES = ("weight_ih_l0", "weight_hh_l0")
MULTIPLIED = ("lookback", "head.in_proj", "head.out_proj", "head.up", "head.down")
"""Matrices that the compiled loop stores in reduced precision."""


def rounded(matrix: np.ndarray, precision: str) -> np.ndarray:
    """Return a matrix rounded to a precision."""
    stored, scales = reduce_precision(matrix, precision)
    if precision == "bf16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.asarray(stored * scales[:, None], np.float32)


def make(seed: int = 5, **options: object) -> TokenNetwork:
    """Return a small network whose tables are all non-zero."""
    torch.manual_seed(seed)
    shape = {"layers": 2, "hidden": 24, "embedding": 16, "depth_width": 20, "genre_embedding": 4, "residual": True}
    o = ModelOptions(**{"head": "depth", "clock": PHASES, **shape, **options})  # type: ignore[arg-type]
    network = make_network(Architecture(o, "classes", LEVELS, BOOKS, 3)).eval()
    assert isinstance(network, TokenNetwork)
    with torch.no_grad():
        for name, table in network.named_parameters():
            if any(
                part in name for part in ("phase_embedding", "phrase_embedding", "lookback", "code_embeddings", "start")
            ):
                table.normal_(0, 0.5)
            if any(part in name for part in ("phase_embedding", "phrase_embedding", "head.lookback")):
                table[0] = 0
    return network


def codes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, LEVELS, (count, BOOKS)).astype(np.int16)


def beat_inputs(network: TokenNetwork, given: np.ndarray, positions: np.ndarray) -> list[torch.Tensor]:
    """Return beat phases, phrase beats and lookback codes of frames [n, K] at positions [n] in beats, one by one."""
    o, n = network.architecture.options, len(given)
    known = ~np.isnan(positions)
    phase = np.floor(np.nan_to_num(positions) % 1 * PHASES).astype(int)
    lookback_codes = np.full((n, len(o.lookback_beats), BOOKS), -1)
    steps = np.floor(np.nan_to_num(positions) * 32)
    for t, (i, beats) in itertools.product(range(n), enumerate(o.lookback_beats)):
        wanted = steps[t] - 32 * beats
        before = [u for u in range(t) if known[u]]
        if known[t] and before and steps[before[0]] <= wanted:
            found = next((u for u in before if steps[u] >= wanted), None)
            if found is not None and steps[found] - wanted < 16:
                lookback_codes[t, i] = given[found]
    phrase_beat = np.floor(np.nan_to_num(positions)).astype(int) % 16
    return [
        torch.from_numpy(x)[None]
        for x in (np.where(known, 1 + phase, 0), np.where(known, 1 + phrase_beat, 0), lookback_codes)
    ]


def logits_of(network: TokenNetwork, given: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the network's logits for given[1:], whose positions in beats are `positions`."""
    x = torch.from_numpy(given.astype(np.int64))[None]
    with torch.inference_mode():
        output, _ = network(
            x[:, :-1], torch.from_numpy(MIX)[None], network.start_state(1), x[:, 1:],
            *beat_inputs(network, given[1:], positions),
        )  # fmt: skip
    return np.asarray(output[0].numpy())


class TestOptions:
    @pytest.mark.parametrize("wrong", [
        {"phrase": 8}, {"lookback_beats": (0,)}, {"lookback_beats": (4, 4)}, {"lookback_beats": (65,)},
        {"phrase": 16, "clock": 0}, {"lookback_beats": (4,), "clock": 0}, {"depth_block": "wide"},
        {"head": "categorical", "clock": 0, "depth_shared": True},
    ])  # fmt: skip
    def test_invalid_options_are_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match=f"model.({'|'.join(wrong)})"):
            ModelOptions(**{"head": "depth", "clock": PHASES, **wrong})  # type: ignore[arg-type]

    @pytest.mark.parametrize("options", COMBINATIONS)
    def test_shapes_are_known_without_the_network(self, options: dict[str, object]) -> None:
        network = make(**options)
        assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == expected_shapes(network.architecture)


class TestSearch:
    def test_the_frame_a_number_of_beats_ago_is_found(self) -> None:
        steps = steps_of(3.0 + np.arange(100) * 0.13)
        found = frames_before(steps, [4], 100, 100)[:, 0]
        assert (found[:31] == -1).all()  # 31 · 0.13 = 4.03
        ago = (np.arange(31, 100) - found[31:]) * 0.13
        assert (np.abs(ago - 4) < 0.13).all()

    def test_nothing_is_found_without_a_known_beat_or_across_a_gap(self) -> None:
        positions = np.concatenate([np.arange(40) * 0.25, np.full(7, np.nan), 20 + np.arange(60) * 0.25])
        steps = steps_of(positions)
        assert (steps[40:47] == UNKNOWN).all()
        found = frames_before(steps, [4], len(steps), 200)[:, 0]
        assert (found[40:47] == -1).all()
        assert found[46] == -1
        assert (found[47:61] == -1).all()  # no beat is known four beats before these, and the next frame is too late
        assert found[63] == 47

    def test_the_search_is_limited_to_the_reach(self) -> None:
        rng = np.random.default_rng(3)
        positions = np.cumsum(rng.uniform(0, 0.3, 400))
        positions[rng.random(400) < 0.2] = np.nan
        steps = steps_of(positions)
        for reach in (5, 30, 60, 400):
            whole = frames_before(steps, [1, 4], 400, reach)
            here = np.arange(400)[:, None]
            assert (here - whole)[whole >= 0].max(initial=0) < reach
            for t in range(0, 400, 7):
                cut = max(0, t - reach)
                separate = frames_before(steps[cut : t + 1], [1, 4], 1, reach)[0]
                assert np.array_equal(np.where(separate >= 0, separate + cut, -1), whole[t])


class TestNetwork:
    @pytest.mark.parametrize("options", COMBINATIONS)
    @pytest.mark.parametrize("pace", [0.0937, 0.0])
    def test_the_compiled_loop_equals_torch(self, options: dict[str, object], pace: float) -> None:
        network, given, n = make(**options), codes(601), 600
        stepper = Stepper(network, given[:1])
        stepper.set_genre(MIX)
        stepper.set_pace(pace, 0.25)
        compiled = np.concatenate([stepper.predict(part) for part in (given[1:8], given[8:])])
        positions = 0.25 + (np.arange(n) + 0.5) * pace if pace else np.full(n, np.nan)
        assert np.abs(compiled - logits_of(network, given, positions)).max() < 1e-4

    def test_each_input_has_an_effect(self) -> None:
        network, given, n = make(**ALL), codes(301), 300
        positions = 0.25 + (np.arange(n) + 0.5) * 0.11
        whole = logits_of(network, given, positions)
        x = torch.from_numpy(given.astype(np.int64))[None]
        for left_out in range(3):
            beat = beat_inputs(network, given[1:], positions)
            beat[left_out] = torch.full_like(beat[left_out], 0 if left_out < 2 else -1)
            with torch.inference_mode():
                other, _ = network(
                    x[:, :-1], torch.from_numpy(MIX)[None], network.start_state(1), x[:, 1:], *beat
                )  # fmt: skip
            assert np.abs(other[0].numpy() - whole)[40:].max() > 0.3

    @pytest.mark.parametrize("precision", PRECISIONS)
    @pytest.mark.parametrize("options", COMBINATIONS)
    def test_every_precision_and_wider_layers(self, options: dict[str, object], precision: str) -> None:
        """The loop is compared with a network whose matrices are rounded in the same way."""
        network, given, n = make(**options, hidden=80, embedding=72, depth_width=100), codes(401), 400
        stepper = Stepper(network, given[:1], precision=precision)
        stepper.set_genre(MIX)
        stepper.set_pace(0.1, 0.25)
        compiled, whole = stepper.predict(given[1:]), logits_of(network, given, 0.25 + (np.arange(n) + 0.5) * 0.1)
        with torch.no_grad():
            for name, matrix in network.named_parameters():
                if name.endswith(MATRICES) or (".weight" in name and name.startswith(MULTIPLIED)):
                    matrix.copy_(torch.from_numpy(rounded(matrix.numpy(), precision)))
        assert np.abs(compiled - logits_of(network, given, 0.25 + (np.arange(n) + 0.5) * 0.1)).max() < 1e-4
        assert np.abs(compiled - whole).max() < {"fp32": 1e-4, "bf16": 0.2, "int8": 0.4}[precision]

    def test_the_tempo_may_change_and_the_beat_may_be_unknown(self) -> None:
        network, given = make(**ALL), codes(701)
        stepper, compiled, positions, position = Stepper(network, given[:1]), [], np.full(700, np.nan), 3.5
        stepper.set_genre(MIX)
        first = 0
        for last, pace in ((150, 0.05), (250, 0.0), (400, 0.12), (700, 0.08)):
            stepper.set_pace(pace, position if not first else None)
            compiled.append(stepper.predict(given[1 + first : 1 + last]))
            if pace:
                positions[first:last] = position + (np.arange(last - first) + 0.5) * pace
                position += (last - first) * pace
            first = last
        assert np.abs(np.concatenate(compiled) - logits_of(network, given, positions)).max() < 1e-4

    def test_a_phase_set_later_means_the_next_such_position(self) -> None:
        for options, period in (({"lookback_beats": (4,)}, 1), (ALL, 16)):
            network, given = make(**options), codes(201)
            stepper = Stepper(network, given[:1])
            stepper.set_genre(MIX)
            stepper.set_pace(0.1, 0.25)
            before = stepper.predict(given[1:101])
            stepper.set_pace(0.1, 0.5)
            compiled = np.concatenate([before, stepper.predict(given[101:])])
            now = 0.25 + 100 * 0.1
            again = 0.5 + period * np.ceil((now - 0.5) / period)
            positions = np.concatenate([0.25 + (np.arange(100) + 0.5) * 0.1, again + (np.arange(100) + 0.5) * 0.1])
            assert np.abs(compiled - logits_of(network, given, positions)).max() < 1e-4

    @pytest.mark.parametrize("precision", ["fp32", "int8"])
    @pytest.mark.parametrize("genre_guidance", [0.0, 1.5])
    def test_chunks_batches_and_forks_do_not_change_the_output(self, genre_guidance: float, precision: str) -> None:
        network, sampling = make(**ALL), Sampling(genre_guidance=genre_guidance, beat_guidance=2.0)
        first = Stepper(network, codes(1), 0, precision=precision)
        steppers = [first, *(first.fork() for _ in range(4))]
        for i, stepper in enumerate(steppers):
            stepper.reset(i)
            stepper.set_genre(np.eye(3, dtype=np.float32)[i % 3])
            stepper.set_pace((0.05, 0.08, 0.0, 0.11, 0.3)[i], 0.9 * i)
            if i == 3:
                stepper.prefill(codes(60, 9))
        separate = []
        for stepper in steppers:
            fork = stepper.fork()
            separate.append(np.concatenate([fork.run(k, sampling) for k in (1, 13, 26, 1, 1, 258)]))
        batched = [step_batch(steppers, k, sampling) for k in (40, 1, 259)]
        assert np.array_equal(np.stack(separate), np.concatenate(batched, 1))
        assert len(np.unique(np.stack(separate)[:, -50:], axis=0)) == 5
        saved, fork = steppers[3].save(), steppers[3].fork()
        after = steppers[3].run(80, sampling)
        assert np.array_equal(after, fork.run(80, sampling))
        steppers[3].restore(saved)
        assert np.array_equal(after, steppers[3].run(80, sampling))
        fork.restore(saved)
        assert np.array_equal(after, np.concatenate([fork.run(1, sampling) for _ in range(80)]))
        assert set(saved.memory) == {"h", "c", "current", "clock", "history", "steps"}
        assert np.array_equal(steppers[3].engine.memory["history"][-80:], after)

    def test_the_history_covers_sixteen_beats_at_the_slowest_tempo(self) -> None:
        stepper = Stepper(make(lookback_beats=(16,)), codes(1))
        stepper.set_pace(20 / 60 / (22_050 / 1024))
        stepper.prefill(codes(1200))
        lookback_codes = stepper.engine.beat_schedule(1).lookback_codes[0]  # type: ignore[attr-defined]
        assert lookback_codes[0] >= 0

    def test_an_untrained_network_ignores_the_beat(self) -> None:
        torch.manual_seed(0)
        o = ModelOptions(head="depth", clock=PHASES, hidden=24, embedding=16, depth_width=20,
                         phrase=16, lookback_beats=(4, 8))  # fmt: skip
        network = make_network(Architecture(o, "classes", LEVELS, BOOKS, 3)).eval()
        x = torch.from_numpy(codes(41).astype(np.int64))[None]
        arguments = x[:, :-1], torch.from_numpy(MIX)[None], network.start_state(1), x[:, 1:]  # type: ignore[operator]
        beat = beat_inputs(network, codes(40), np.arange(40) * 0.2)  # type: ignore[arg-type]
        with torch.inference_mode():
            assert torch.equal(network(*arguments, *beat)[0], network(*arguments)[0])

    def test_the_displayed_gates_give_the_next_state(self) -> None:
        network = make(**ALL)
        weights = Weights.of(network)
        stepper = Stepper(weights, np.zeros((1, BOOKS)), seed=3)
        stepper.set_pace(0.07, 0.3)
        for count in (1, 40, 200):
            stepper.run(count)
            shown = {name: np.array(part) for name, part in visible(stepper, weights).items()}
            before = {k: v.copy() for k, v in stepper.engine.memory.items()}
            visible(stepper, weights)
            assert all(np.array_equal(v, stepper.engine.memory[k]) for k, v in before.items())
            stepper.run(1)
            cell, h = (stepper.engine.memory[k][0][:SHOWN] for k in "ch")
            assert np.abs(shown["f"] * before["c"][0][:SHOWN] + shown["i"] * shown["g"] - cell).max() < 2.4e-3
            assert np.abs(shown["o"] * np.tanh(cell) - h).max() < 6e-4
