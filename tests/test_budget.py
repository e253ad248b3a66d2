"""Budgets: what is asked for in minutes is what is used, told by a clock that the tests turn themselves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import QUICK, TIERS
from test_calibration import START, uncalibrated

from noizenet.base.errors import UsageError
from noizenet.corpus.corpus import Corpus
from noizenet.store.model import load
from noizenet.training.calibration import ROUNDS, calibrate
from noizenet.training.log import read_metrics
from noizenet.training.loop import Trainer, train
from noizenet.training.options import configure
from noizenet.training.plan import CALIBRATION_SHARE, Budget, Plan, Progress


class Clock:
    """A clock that goes on by `tick` seconds whenever it is looked at."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 1000.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


class TestPlan:
    def plan(self, minutes: float = 10.0, *, calibrates: bool = True) -> tuple[Plan, Clock]:
        clock = Clock()
        return Plan(Budget(minutes=minutes), calibrates=calibrates, clock=clock), clock

    def test_training_gets_what_the_rest_leaves(self) -> None:
        plan, clock = self.plan()
        clock.now += 60
        plan.start_training()
        plan.validation_s = 5.0
        assert plan.total == 600
        clock.now += 600 - 60 - 600 * CALIBRATION_SHARE - 10 - 2 - 0.1
        assert 0.99 < plan.trained(plan.elapsed()) < 1
        clock.now += 0.2
        assert plan.trained(plan.elapsed()) == 1
        assert plan.deadline() == pytest.approx(600 - 5 - 2)
        done, left = plan.whole(1.0)
        assert done == pytest.approx((600 - left) / 600)

    def test_a_step_that_would_end_too_late_is_not_begun(self) -> None:
        plan, clock = self.plan(1.0, calibrates=False)
        plan.start_training()
        plan.step_s = 20.0
        clock.now += 49
        assert plan.trained(plan.elapsed()) == 1

    def test_encoding_that_takes_longer_is_told_before(self) -> None:
        plan, clock = self.plan(1.0)
        told = []
        for i in range(1, 11):
            clock.now += 25
            left, text = plan.encoding(i / 10)
            assert i == 1 or left == pytest.approx(25 * (10 - i))
            told += [text] if text else []
        assert told == [
            "encoding takes about 4:10, training 0:21, calibration 0:09; 4:40 in all "
            "(what is encoded is kept for the next training)"
        ]
        plan.start_training()
        assert plan.total == 250 + 30
        assert plan.trained(plan.elapsed()) == 0
        clock.now += 15
        assert 0 < plan.trained(plan.elapsed()) < 1
        clock.now += 6
        assert plan.trained(plan.elapsed()) == 1

    def test_a_plan_that_proves_wrong_is_told_again(self) -> None:
        plan, clock = self.plan(1.0)
        told = []
        for seconds, share in [(2, 0.001), (2, 0.011), (2, 0.2), (5, 0.3), (20, 0.35), (20, 0.4), (360, 1.0)]:
            clock.now += seconds
            _, text = plan.encoding(share)
            told.append(text.split(",")[0])
        first, *more = [(i, text) for i, text in enumerate(told) if text]
        assert first == (2, "encoding takes about 0:22")  # 1 % of the work tells nothing
        assert more
        assert all(text.startswith("encoding takes longer than was said") for _, text in more)
        assert more[0][0] == 4

    def test_a_resumed_run_counts_what_was_spent(self) -> None:
        plan, clock = self.plan(1.0, calibrates=False)
        clock.now += 4
        plan.start_training(elapsed=30.0, prepared=6.0)
        assert plan.elapsed() == 34
        assert plan.prepared == 10
        assert plan.trained(plan.elapsed()) == pytest.approx(24 / (60 - 10 - 1.8))

    def test_epochs_have_no_deadline(self) -> None:
        clock = Clock()
        plan = Plan(Budget(epochs=1), calibrates=True, clock=clock)
        clock.now += 10
        plan.start_training()
        clock.now += 30
        assert plan.deadline() == plan.total == math.inf
        assert plan.whole(0.25) == (0.25 * (1 - CALIBRATION_SHARE), pytest.approx(90))
        assert plan.encoding(0.5)[1] == ""


class TestSettlingInTime:
    TARGET = np.full((3, 3), 25.0)

    @pytest.mark.parametrize("seconds", [0.5, 2.0, 8.0, 1000.0])
    def test_it_ends_when_its_time_is_over(self, seconds: float) -> None:
        clock = Clock()
        end = clock.now + seconds

        def playing(share: float, note: str) -> None:
            clock.now += 0.1  # for each chunk of some steps, whatever the machine

        settled = calibrate(uncalibrated(), START, self.TARGET, 6000, 0, playing, lambda: end - clock.now)
        assert clock.now <= end + 0.1 + 1e-6
        whole = calibrate(uncalibrated(), START, self.TARGET, 6000, 0)
        if seconds == 1000:
            assert settled.rounds == ROUNDS
            assert np.array_equal(settled.logit_bias, whole.logit_bias)
        elif seconds == 0.5:
            assert settled.rounds < ROUNDS
        if settled.rounds:
            assert settled.logit_bias.any()
            assert settled.by_genre(["a", "b", "c"]).keys() == {"a", "b", "c"}
        else:
            assert not settled.logit_bias.any()
            assert settled.by_genre(["a", "b", "c"]) == {}


@pytest.mark.parametrize("tick", [0.02, 0.05])
@pytest.mark.parametrize("clock_name", ["wall", "cpu"])
def test_a_run_takes_the_minutes_that_it_was_given(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tick: float, clock_name: str
) -> None:
    clock = Clock(tick)
    monkeypatch.setattr("noizenet.training.plan.CLOCKS", {"wall": Clock(1e9), "cpu": Clock(1e9)} | {clock_name: clock})
    seen: list[Progress] = []
    begun = clock.now
    config = configure("sample-lstm", None, (*QUICK, *TIERS))
    train(corpus, tmp_path / "m", config, Budget(minutes=0.2, clock=clock_name), on_progress=seen.append)
    assert 0.9 * 12 < clock.now - begun < 1.1 * 12
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert max(p.done for p in seen) < 1
    assert {"training", "validation", "calibration"} <= {p.phase for p in seen}
    for p in seen:
        assert p.seconds_left == pytest.approx((1 - p.done) * 12, abs=0.1)
    metrics = load(tmp_path / "m").training["metrics"]
    assert metrics["steps"] >= 20
    parts = [metrics[k] for k in ("minutes", "encoding_minutes", "calibration_minutes")]
    assert sum(parts) == pytest.approx(0.2, rel=0.15)
    assert any(r.get("phase") == "calibration" for r in read_metrics(tmp_path / "m"))


def test_validation_is_fitted_to_the_budget(corpus: Corpus, tmp_path: Path) -> None:
    config = configure("sample-lstm", None, (*QUICK, *TIERS, "training.validation_seconds=10"))
    trainer = Trainer(corpus, tmp_path, config, Budget(minutes=1), 0)
    assert trainer.validation is not None
    whole = trainer.validation.batches
    trainer._fit_validation(1e-9)
    assert trainer.validation.batches == whole
    trainer._fit_validation(1e9)
    assert trainer.validation.batches == 1
    assert trainer.validation.measure(trainer.network, bf16=False)["loss"] > 0


@pytest.mark.parametrize(
    "budget",
    [{"minutes": 0}, {"epochs": -1}, {}, {"minutes": 1, "epochs": 1}, {"minutes": math.nan}, {"minutes": 1, "clock": "sun"}],
)  # fmt: skip
def test_budgets(budget: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Budget(**budget)  # type: ignore[arg-type]
