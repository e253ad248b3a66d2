"""Training: progress, bit-exact resume, recovery from non-finite numbers, and the order of reading."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import PLAIN, QUICK, RATE, TIERS, quick_train
from safetensors.torch import load_file

from noizenet.base.errors import ConfigError, LockedError, TrainingError, UsageError
from noizenet.corpus.build import build
from noizenet.corpus.corpus import Corpus
from noizenet.generation.controls import Controls
from noizenet.generation.stream import Stream
from noizenet.model.architecture import Architecture, ModelOptions
from noizenet.model.factory import make_network
from noizenet.representation import REPRESENTATIONS
from noizenet.store.model import load
from noizenet.training import OPTIMIZERS, checkpoint, loop
from noizenet.training.adapting import load_initial_weights
from noizenet.training.fitting import fitted
from noizenet.training.guard import MAX_RATIO_RECOVERED, MAX_RECOVERIES, DivergenceGuard
from noizenet.training.log import read_metrics
from noizenet.training.loop import Trainer, train
from noizenet.training.options import configure
from noizenet.training.plan import Budget, Progress
from noizenet.training.precision import runs_bf16
from noizenet.training.step import chance
from noizenet.training.windows import WindowReader


def test_statistics_are_fitted_to_all_tracks(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for i, level in enumerate((0.05, 0.2, 0.8)):
        sound = level * np.sin(2 * np.pi * 220 * (1 + i / 9) * np.arange(12 * RATE) / RATE)
        soundfile.write(source / f"{i}.wav", sound, RATE, subtype="FLOAT")
    corpus = build(source, tmp_path / "corpus", sample_rate=RATE, workers=1)
    spreads = REPRESENTATIONS.load("z-score")(sample_rate=RATE), REPRESENTATIONS.load("min-max")(sample_rate=RATE)
    score, limits = (fitted(r, corpus, corpus.tracks) for r in spreads)
    samples = np.concatenate([corpus.mono(t) for t in corpus.tracks])
    assert score.std == pytest.approx(samples.std(), rel=0.1)
    assert (limits.low, limits.high) == pytest.approx((samples.min(), samples.max()), rel=0.01)


class TestReader:
    def make(self, corpus: Corpus, batch: int = 3, window: int = 200, name: str = "mu-law") -> WindowReader:
        r = REPRESENTATIONS.load(name)(sample_rate=corpus.sample_rate)
        return WindowReader(corpus, corpus.split("train"), r, batch=batch, window=window, segment_seconds=0.5, seed=4)

    def test_an_epoch_reads_every_window_once(self, corpus: Corpus) -> None:
        reader = self.make(corpus, batch=1)
        seen = [reader.next().frames[0, 1:, 0].tobytes() for _ in range(reader.windows_per_epoch)]
        r = REPRESENTATIONS.load("mu-law")(sample_rate=corpus.sample_rate)
        expected = []
        for t in corpus.split("train"):
            frames = r._encode(corpus.read(t).astype(np.float32) / 32768)[:, 0]
            expected += [frames[i : i + 200].tobytes() for i in range(0, len(frames) - 199, 200)]
        assert sorted(seen) == sorted(expected)

    def test_balance_equalises_genres(self, corpus: Corpus) -> None:
        tracks = corpus.split("train")
        rare = tracks[0].genre
        few = tracks[:1] + 3 * [t for t in tracks if t.genre != rare]
        r = REPRESENTATIONS.load("mu-law")(sample_rate=corpus.sample_rate)
        shares = []
        for balance in (0.0, 1.0):
            reader = WindowReader(
                corpus, few, r, batch=1, window=200, segment_seconds=0.1, seed=4, balance=balance
            )  # fmt: skip
            genres = np.array([reader.next().genres[0] for _ in range(2 * reader.windows_per_epoch)])
            shares.append((genres == corpus.genres.index(rare)).mean())
        present = len({t.genre for t in few})
        assert shares[0] < 0.8 / present
        assert shares[1] == pytest.approx(1 / present, abs=0.05)

    @pytest.mark.parametrize("name", ["mu-law", "fft", "log-magnitude"])
    def test_windows_follow_one_another(self, corpus: Corpus, name: str) -> None:
        reader = self.make(corpus, window=10 if name != "mu-law" else 200, name=name)
        last = reader.next()
        assert last.fresh.all()
        for _ in range(20):
            batch = reader.next()
            for row in range(3):
                if not batch.fresh[row]:
                    assert np.array_equal(batch.frames[row, 0], last.frames[row, -1])
                    assert batch.genres[row] == last.genres[row]
            last = batch

    def test_a_restored_reader_reads_the_same_windows(self, corpus: Corpus) -> None:
        reader = self.make(corpus)
        for _ in range(137):
            reader.next()
        state = json.loads(json.dumps(reader.state()))
        expected = [reader.next() for _ in range(200)]
        other = self.make(corpus)
        other.restore(state)
        for batch in expected:
            again = other.next()
            for a, b in zip(batch, again, strict=True):
                assert np.array_equal(a, b)

    def test_tracks_that_are_too_short_are_listed(self, corpus: Corpus) -> None:
        with pytest.raises(TrainingError, match="shorter than one window"):
            self.make(corpus, window=100_000_000)

    def test_a_track_is_preceded_by_silence(self, corpus: Corpus) -> None:
        reader = self.make(corpus, batch=8)
        silence = REPRESENTATIONS.load("mu-law")(sample_rate=corpus.sample_rate).silence()
        starts = [s for s in reader._shuffled(0) if s.start == 0]
        assert len(starts) == len(corpus.split("train"))
        assert np.array_equal(reader.source.frames(starts[0].track, 0, 1)[:1], silence)


@pytest.mark.parametrize("recipe", ["sample-lstm", "paper-rnn", "paper-lstm", "paper-gru", "paper-fft-lstm"])
def test_every_kind_of_model_learns(recipe: str, corpus: Corpus, tmp_path: Path) -> None:
    extra = ("training.window=8",) if "fft" in recipe else ()
    model = quick_train(corpus, tmp_path / "m", recipe, *extra, epochs=6 if "fft" in recipe else 0.4)
    rows = read_metrics(tmp_path / "m")
    held = [r["validation_loss"] for r in rows if "validation_loss" in r]
    assert min(held[1:]) < held[0]
    for name in ("model.safetensors", "model.json", "card.md", "metrics.jsonl", "metrics.csv", "curves.png"):
        assert (tmp_path / "m" / name).stat().st_size > 0
    card = (tmp_path / "m" / "card.md").read_text()
    assert "CC0" in card
    assert recipe in card
    if recipe.startswith("paper"):
        assert {"mse", "mae", "mbe", "persistence_mse"} <= {k.removeprefix("validation_") for r in rows for k in r}
    again = load(tmp_path / "m")
    for a, b in zip(model.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_resume_bit_for_bit(optimizer: str, corpus: Corpus, tmp_path: Path) -> None:
    sets = (
        *TIERS, f"training.optimizer={optimizer}", "model.dropout=0.2", "training.threads=1",
        "training.schedule=plateau",
    )  # fmt: skip
    quick_train(corpus, tmp_path / "whole", "sample-lstm", *sets, epochs=0.2)
    config = configure("sample-lstm", None, (*QUICK, *sets))
    train(corpus, tmp_path / "stopped", config, Budget(epochs=0.064))  # 40 steps: a validation is due in both runs
    train(corpus, tmp_path / "stopped", config, Budget(epochs=0.2), resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def assert_same_run(a: Path, b: Path) -> None:
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    one, two = load_file(a / checkpoint.NAME), load_file(b / checkpoint.NAME)
    assert set(one) == set(two)
    for key, value in one.items():
        assert torch.equal(value, two[key]), key
    losses = [[(r["step"], r["validation_loss"]) for r in read_metrics(p) if "validation_loss" in r] for p in (a, b)]
    common = set(losses[0]) & set(losses[1])
    assert len(common) >= len(losses[0]) - 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_stopped_by_a_signal_resumes_bit_for_bit(number: int, corpus: Corpus, tmp_path: Path) -> None:
    """A run that is stopped and resumed ends with the same bytes as an uninterrupted one."""
    sets = [*QUICK, *PLAIN, "training.checkpoint_seconds=0.05", "training.threads=1", "model.hidden=48"]
    command = [
        sys.executable, "-m", "noizenet", "train", str(corpus.folder), "OUT", "--model", "sample-lstm", "--epochs", "0.3",
        *[x for s in sets for x in ("--set", s)],
    ]  # fmt: skip

    def start(out: str, *more: str) -> subprocess.Popen[str]:
        arguments = [str(tmp_path / out) if a == "OUT" else a for a in command]
        return subprocess.Popen([*arguments, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    whole = start("whole")
    _, err = whole.communicate(timeout=200)
    assert whole.returncode == 0, err
    stopped = start("stopped")
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not (tmp_path / "stopped" / checkpoint.NAME).exists():
        time.sleep(0.01)
    time.sleep(0.1)
    stopped.send_signal(number)
    _, err = stopped.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert stopped.returncode == -signal.SIGKILL
    else:
        assert stopped.returncode == 130, err
        assert "--resume" in err.strip().splitlines()[-1]
        assert (tmp_path / "stopped" / "model.safetensors").exists()
    assert "Traceback" not in err
    total = json.loads((tmp_path / "whole" / "model.json").read_text())["training"]["metrics"]["steps"]
    _, numbers = checkpoint.read(tmp_path / "stopped") or ({}, {"step": total})
    assert numbers["step"] < total, "the run ended before the signal: nothing was tested"
    again = start("stopped", "--resume")
    _, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")
    assert not list((tmp_path / "stopped").glob(".*.part*"))


KILLED = """
import os, signal, sys
import noizenet.base.files as files
import noizenet.training.calibration_phase as calibration_phase
import noizenet.training.loop as loop
from noizenet.corpus.corpus import Corpus
from noizenet.training.options import configure
from noizenet.training.plan import Budget
corpus, folder, where, *sets = sys.argv[1:]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if where == "calibration":
    calibration_phase.calibrate = die
else:  # between writing a checkpoint and renaming it
    real, calls = os.fsync, []
    def fsync(handle):
        calls.append(1)
        die() if len(calls) == int(where) else real(handle)
    files.os.fsync = fsync
loop.train(Corpus(corpus), folder, configure("sample-lstm", None, tuple(sets)), Budget(epochs=0.03), resume=True)
"""


def test_a_run_killed_while_writing_or_calibrating_resumes_bit_for_bit(corpus: Corpus, tmp_path: Path) -> None:
    """A run that is killed at both of these moments ends with the same bytes as an uninterrupted one."""
    config = configure("sample-lstm", None, (*QUICK, *TIERS))
    sets = (*QUICK, *TIERS, "training.checkpoint_seconds=0")
    train(corpus, tmp_path / "whole", config, Budget(epochs=0.03))
    for where in ("8", "calibration"):
        command = [sys.executable, "-c", KILLED, str(corpus.folder), str(tmp_path / "stopped"), where, *sets]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    train(corpus, tmp_path / "stopped", config, Budget(epochs=0.03), resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")
    assert not list((tmp_path / "stopped").glob(".*.part*"))


class TestGuard:
    def test_nan_is_named_and_recovered(self, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from noizenet.model.heads import CategoricalHead

        real, calls = CategoricalHead.loss, {"n": 0}

        def loss(self: CategoricalHead, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            calls["n"] += 1
            return real(self, output, target) * (float("nan") if calls["n"] in (30, 50) else 1.0)

        monkeypatch.setattr(CategoricalHead, "loss", loss)
        model = quick_train(corpus, tmp_path / "m", "sample-lstm", *PLAIN, epochs=0.5)
        events = [r["event"] for r in read_metrics(tmp_path / "m") if "event" in r]
        assert events
        assert "the loss is nan" in events[0]
        assert model.training["metrics"]["recoveries"] == len(events)
        assert all(torch.isfinite(p).all() for p in model.network.parameters())

    def test_a_run_that_always_fails_ends_with_advice(
        self, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A step that always fails ends the run after a few recoveries."""
        from noizenet.model.heads import CategoricalHead

        real, calls = CategoricalHead.loss, {"n": 0}

        def loss(self: CategoricalHead, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            calls["n"] += 1
            return real(self, output, target) * (float("inf") if calls["n"] > 5 else 1.0)

        monkeypatch.setattr(CategoricalHead, "loss", loss)
        with pytest.raises(TrainingError, match=r"lower training\.learning_rate"):
            quick_train(corpus, tmp_path / "m", "sample-lstm", *PLAIN, "training.validate=false", epochs=40)
        assert calls["n"] == 5 + MAX_RECOVERIES + 1

    def test_a_learning_rate_far_too_high_is_brought_down_or_ends_the_run(
        self, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The network saturates at a finite loss near that of guessing; such a run recovers or ends with an error."""
        monkeypatch.setattr("noizenet.training.guard.BLOCK", 60)
        sets = (
            *PLAIN, "training.optimizer=sgd", "training.learning_rate=10", "training.clip=0", "training.momentum=0.99",
            "training.warmup_steps=0", "training.window=16", "training.validate_every=60",
        )  # fmt: skip
        try:
            quick_train(corpus, tmp_path / "m", "sample-lstm", *sets, epochs=2)
        except TrainingError as error:
            assert "lower training.learning_rate" in str(error)
        else:
            events = [r["event"] for r in read_metrics(tmp_path / "m") if "event" in r]
            held = [r["validation_loss"] for r in read_metrics(tmp_path / "m") if "validation_loss" in r]
            assert events
            assert held[-1] < MAX_RATIO_RECOVERED * np.log(256)

    def test_no_progress_is_distinguished_from_learning(self) -> None:
        network = make_network(configure_architecture())
        optimizer = torch.optim.Adam(network.parameters(), 0.1)

        def problems(losses: list[float], *, recovered: bool = False, warmup: int = 0) -> list[str]:
            guard = DivergenceGuard(network, optimizer, warmup)
            if recovered:
                guard.recover(network, optimizer, "x")
            return [p for loss in losses if (p := guard.check(loss, 1.0, 2.0))]

        saturated, learning, slow = [2.01] + 1000 * [2.2], [2.3] + 1000 * [1.5], 2000 * [2.01]
        assert len(problems(saturated)) == 2
        assert "guessing gives 2" in problems(saturated)[0]
        assert not problems(learning)
        assert not problems(slow)  # slow learning is no divergence
        assert problems(slow, recovered=True)  # after a recovery, progress is required
        assert not problems(learning, recovered=True)
        assert not problems(saturated, warmup=2000)
        assert not problems([2.8] + 1000 * [2.7])  # the initial loss may be above chance

    def test_weights_worse_than_guessing_are_not_kept(self) -> None:
        network = make_network(configure_architecture())
        guard = DivergenceGuard(network, torch.optim.Adam(network.parameters(), 0.1))
        good = {k: v.clone() for k, v in network.state_dict().items()}
        for loss in [2.0] + 100 * [2.5]:
            guard.check(loss, 1.0, 2.0)
        with torch.no_grad():
            for p in network.parameters():
                p.add_(1)
        guard.snapshot(network, torch.optim.Adam(network.parameters(), 0.1))
        assert all(torch.equal(v, good[k]) for k, v in guard.weights.items())

    def test_chance_is_the_loss_of_guessing(self, corpus: Corpus) -> None:
        """For classes a uniform distribution, for numbers zeros, on the same targets."""
        plain = make_network(configure_architecture())
        with torch.no_grad():
            for p in plain.head.parameters():
                p.zero_()
        targets = torch.randint(0, 8, (3, 5, 1))
        assert chance(plain, targets) == pytest.approx(float(plain.head.loss(torch.zeros(3, 5, 8), targets)))
        numbers = make_network(Architecture(ModelOptions(head="point"), "vectors", 0, 4, 2))
        targets = torch.randn(3, 5, 4)
        assert chance(numbers, targets) == pytest.approx(float(targets.square().mean()))
        assert chance(numbers, torch.zeros(3, 5, 4)) == float("inf")

    def test_divergence_restores_good_weights(self) -> None:
        network = make_network(configure_architecture())
        optimizer = torch.optim.Adam(network.parameters(), 0.1)
        guard = DivergenceGuard(network, optimizer)
        good = {k: v.clone() for k, v in network.state_dict().items()}
        for _ in range(30):
            assert guard.check(1.0, 1.0) == ""
        with torch.no_grad():
            for p in network.parameters():
                p.add_(1)
        assert "diverged" in guard.check(100.0, 1.0)
        guard.recover(network, optimizer, "x")
        assert guard.scale == 0.5
        assert all(torch.equal(v, good[k]) for k, v in network.state_dict().items())
        assert "gradient is inf" in guard.check(1.0, float("inf"))
        with pytest.raises(TrainingError, match="did not help"):
            for _ in range(MAX_RECOVERIES + 1):
                guard.recover(network, optimizer, "x")


def configure_architecture() -> Architecture:
    return Architecture(ModelOptions(hidden=4, embedding=3), "classes", 8, 1, 2)


def test_early_stopping(corpus: Corpus, tmp_path: Path) -> None:
    quick_train(
        corpus,
        tmp_path / "m",
        "sample-lstm",
        *PLAIN,
        "training.optimizer=sgd",
        "training.learning_rate=1e-8",
        "training.patience=2",
        epochs=5,
    )
    metrics = load(tmp_path / "m").training["metrics"]
    assert metrics["steps"] < 200


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 1.0])
def test_the_latest_weights_within_the_tolerance_are_kept(corpus: Corpus, tmp_path: Path, tolerance: float) -> None:
    options = "training.learning_rate=0.05", f"training.tolerance={tolerance}"
    quick_train(corpus, tmp_path / "m", "sample-lstm", *options, epochs=0.4)
    rows = [r for r in read_metrics(tmp_path / "m") if "validation_loss" in r]
    metrics = load(tmp_path / "m").training["metrics"]
    best = min(r["validation_loss"] for r in rows)
    kept = [r for r in rows if r["validation_loss"] <= (1 + tolerance) * best][-1]
    assert (metrics["best_validation_step"], metrics["best_validation_loss"]) == (kept["step"], kept["validation_loss"])


def test_nesterov_and_bf16_run(corpus: Corpus, tmp_path: Path) -> None:
    quick_train(corpus, tmp_path / "a", "sample-lstm", "training.optimizer=sgd", "training.nesterov=true", epochs=0.05)
    if runs_bf16("lstm"):
        quick_train(corpus, tmp_path / "b", "sample-lstm", "training.precision=bf16", epochs=0.05)
    else:
        with pytest.raises(UsageError, match=r"training\.precision=auto"):
            quick_train(corpus, tmp_path / "b", "sample-lstm", "training.precision=bf16", epochs=0.05)


@pytest.mark.parametrize(("cap", "runs"), [({"ONEDNN_MAX_CPU_ISA": "AVX2"}, False), ({}, None)])
def test_auto_precision_chooses_only_what_the_processor_supports(cap: dict[str, str], runs: bool | None) -> None:
    code = (
        "from noizenet.training.precision import has_bf16, runs_bf16, use_bf16\n"
        "from noizenet.training.options import configure\n"
        "print(has_bf16(), runs_bf16('lstm'), use_bf16('auto', configure('token-lstm')))"
    )
    env = {k: v for k, v in os.environ.items() if not k.endswith("MAX_CPU_ISA")} | cap
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    has, can, chosen = (word == "True" for word in done.stdout.split())
    assert chosen == (has and can)
    assert runs is None or (can is runs and not chosen)


def test_input_noise_and_log_magnitude_run(corpus: Corpus, tmp_path: Path) -> None:
    quick_train(
        corpus, tmp_path / "m", "paper-lstm", "representation.name=log-magnitude", "training.input_noise=0.1",
        "training.window=8", epochs=0.5,
    )  # fmt: skip


def test_stereo_trains_and_keeps_two_channels(tmp_path: Path) -> None:
    import soundfile
    from conftest import RATE, tone

    (tmp_path / "src").mkdir()
    for i in range(3):
        x = tone(3.0, hz=200 + 30 * i)
        soundfile.write(tmp_path / "src" / f"{i}.wav", np.stack([x, np.roll(x, 5)], 1), RATE)
    c = build(tmp_path / "src", tmp_path / "c", sample_rate=RATE, channels=2, workers=1)
    for recipe in ("sample-lstm", "paper-lstm"):
        model = quick_train(c, tmp_path / recipe, recipe, epochs=0.3)
        assert model.representation.channels == 2
    with pytest.raises(UsageError, match="even number"):
        quick_train(c, tmp_path / "odd", "sample-lstm", *PLAIN, "training.window=63")
    with pytest.raises(UsageError, match="not a multiple of 16"):
        quick_train(c, tmp_path / "uneven", "sample-lstm", "training.window=40")


def test_sixteen_bits_train_and_play(corpus: Corpus, tmp_path: Path) -> None:
    model = quick_train(corpus, tmp_path / "m", "sample-lstm", "representation.name=linear", epochs=0.1)
    assert model.representation.levels == 65536
    assert 0 < model.training["metrics"]["best_validation_bits_per_frame"] < 16
    sound = np.concatenate([b.samples for b in Stream(load(tmp_path / "m"), Controls(seconds=0.5))])
    assert len(np.unique(sound)) > 300  # finer than 256 classes


@pytest.mark.parametrize(
    "option", ["training.scheduled_sampling=0.5", "training.input_noise=1.0", "training.gain_jitter=0.2"]
)
def test_changes_of_the_inputs_affect_training_and_are_repeatable(corpus: Corpus, tmp_path: Path, option: str) -> None:
    plain, *twice = (
        quick_train(corpus, tmp_path / name, "sample-lstm", *sets, epochs=0.05)
        for name, sets in (("plain", ("training.gain_jitter=0",)), ("a", (option,)), ("b", (option,)))
    )
    weights = [m.weights["head.linear.weight"] for m in (plain, *twice)]
    assert np.array_equal(weights[1], weights[2])
    assert not np.array_equal(weights[0], weights[1])


class TestWrongUse:
    def test_a_folder_that_holds_a_model(self, corpus: Corpus, sample_model: Path) -> None:
        with pytest.raises(UsageError, match="holds a model already"):
            quick_train(corpus, sample_model, "sample-lstm")

    def test_resuming_something_else(self, corpus: Corpus, sample_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loop, "WindowReader", None)  # refused before anything is read or encoded
        for sets, seed, what in ((("model.width=17",), 0, "architecture"), ((), 1, "seed")):
            config = configure("sample-lstm", None, (*QUICK, *TIERS, *sets))
            with pytest.raises(UsageError, match=f"the {what} is not"):
                train(corpus, sample_model, config, Budget(epochs=1), seed=seed, resume=True)

    def test_resuming_without_a_run_is_reported(self, corpus: Corpus, tmp_path: Path) -> None:
        seen: list[Progress] = []
        config = configure("sample-lstm", None, (*QUICK, *TIERS))
        train(corpus, tmp_path / "m", config, Budget(epochs=0.01), resume=True, on_progress=seen.append)
        assert "holds no run to resume" in "".join(p.message for p in seen)

    def test_weights_of_another_channel_count(self, sample_model: Path) -> None:
        model = load(sample_model)
        stereo = dataclasses.replace(model.representation, channels=2)
        network = make_network(model.weights.architecture, stereo.values())
        with pytest.raises(UsageError, match=r"corpus is stereo, the model is mono.*--channels 1"):
            load_initial_weights(model, network, stereo, model.genres)

    def test_a_refused_run_leaves_no_folder(self, corpus: Corpus, tmp_path: Path) -> None:
        config = configure("sample-lstm", None, (*QUICK, *TIERS, "training.transpose=1"))
        with pytest.raises(UsageError, match="transpose"):
            train(corpus, tmp_path / "m", config, Budget(epochs=1))
        assert not (tmp_path / "m").exists()

    def test_a_damaged_resume_point(self, corpus: Corpus, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / checkpoint.NAME).write_bytes(b"nonsense")
        with pytest.raises(TrainingError, match="damaged"):
            train(corpus, tmp_path / "m", configure("sample-lstm"), Budget(epochs=1), resume=True)

    def test_two_runs_in_one_folder(self, corpus: Corpus, tmp_path: Path) -> None:
        from filelock import FileLock

        (tmp_path / "m").mkdir()
        with FileLock(str(tmp_path / "m" / ".lock")), pytest.raises(LockedError, match="another process"):
            quick_train(corpus, tmp_path / "m", "sample-lstm")

    def test_a_corpus_of_one_track(self, tmp_path: Path) -> None:
        import soundfile
        from conftest import RATE, tone

        (tmp_path / "src").mkdir()
        soundfile.write(tmp_path / "src" / "only.wav", tone(5.0), RATE)
        c = build(tmp_path / "src", tmp_path / "c", sample_rate=RATE, workers=1)
        with pytest.raises(UsageError, match=r"--set training\.validate=false"):
            quick_train(c, tmp_path / "m", "sample-lstm")
        quick_train(c, tmp_path / "m", "sample-lstm", "training.validate=false")
        assert (tmp_path / "m" / "model.safetensors").exists()

    @pytest.mark.parametrize(
        ("sets", "message"),
        [
            (("model.hiden=3",), "did you mean 'hidden'"),
            (("model.hidden=many",), "whole number"),
            (("model.hidden=0",), "too small"),
            (("nodel.hidden=1",), "did you mean 'model'"),
            (("hidden=1",), "section.key=value"),
            (("model.hidden",), "section.key=value"),
            (("training.optimizer=adm",), "did you mean 'adam'"),
            (("training.learning_rate=nan",), "finite"),
            (("model.dropout=true",), "a number"),
            (("model.a.b=1",), "section.key=value"),
        ],
    )
    def test_configuration_errors(self, sets: tuple[str, ...], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            configure("sample-lstm", None, sets)

    def test_configuration_files(self, tmp_path: Path) -> None:
        path = tmp_path / "c.toml"
        path.write_text("[model]\nhidden = 99\n")
        assert configure("sample-lstm", path).model.hidden == 99
        assert configure("sample-lstm", path, ("model.hidden=7",)).model.hidden == 7
        path.write_text("[model\nhidden")
        with pytest.raises(ConfigError, match=r"c\.toml.*TOML"):
            configure("sample-lstm", path)
        path.write_text("model = 3\n")
        with pytest.raises(ConfigError, match="section"):
            configure("sample-lstm", path)
        with pytest.raises(ConfigError, match="cannot read"):
            configure("sample-lstm", tmp_path / "none.toml")
        with pytest.raises(UsageError, match="did you mean 'sample-lstm'"):
            configure("sampel-lstm")


def test_training_restores_the_state_of_torch(corpus: Corpus, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    quick_train(corpus, tmp_path / "m", "sample-lstm", epochs=0.02)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_validation_losses_are_correct(corpus: Corpus, tmp_path: Path) -> None:
    """A uniform distribution over V classes has a loss of log V nats."""
    config = configure("sample-lstm", None, (*QUICK, *PLAIN))
    trainer = Trainer(corpus, tmp_path, config, Budget(epochs=1), 0)
    with torch.no_grad():
        for p in trainer.network.head.parameters():
            p.zero_()
    assert trainer.validation is not None
    measures = trainer.validation.measure(trainer.network, bf16=False)
    assert measures["loss"] == pytest.approx(np.log(256), abs=1e-5)
    assert measures["bits_per_frame"] == pytest.approx(8, abs=1e-5)
    assert measures["bits_per_second"] == pytest.approx(8 * corpus.sample_rate, rel=1e-5)
