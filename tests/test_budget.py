"""Budgets: runs take the requested minutes, by a clock that the tests control."""

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
    """A clock that advances by `tick` seconds whenever it is read."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 1000.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


class TestPlan:
    def plan(self, minutes: float = 10.0, *, calibrates: bool = True) -> tuple[Plan, Clock]:
        clock = Clock()
        return Plan(Budget(minutes=minutes), calibrates=calibrates, clock=clock), clock

    def test_training_gets_the_remaining_time(self) -> None:
        plan, clock = self.plan()
        clock.now += 60
        plan.start_training()
        plan.validation_s = 5.0
        assert plan.total_s == 600
        clock.now += 600 - 60 - 600 * CALIBRATION_SHARE - 10 - 2 - 0.1
        assert 0.99 < plan.training_share(plan.elapsed()) < 1
        clock.now += 0.2
        assert plan.training_share(plan.elapsed()) == 1
        assert plan.deadline() == pytest.approx(600 - 5 - 2)
        done, left = plan.run_share(1.0)
        assert done == pytest.approx((600 - left) / 600)

    def test_a_step_that_would_end_too_late_is_not_started(self) -> None:
        plan, clock = self.plan(1.0, calibrates=False)
        plan.start_training()
        plan.step_s = 20.0
        clock.now += 49
        assert plan.training_share(plan.elapsed()) == 1

    def test_a_long_encoding_is_reported_in_advance(self) -> None:
        plan, clock = self.plan(1.0)
        reported = []
        for i in range(1, 11):
            clock.now += 25
            left, text = plan.encoding(i / 10)
            assert i == 1 or left == pytest.approx(25 * (10 - i))
            reported += [text] if text else []
        assert reported == [
            "encoding takes about 4:10, training 0:21, calibration 0:09; 4:40 in all "
            "(encoded tracks are kept for the next training)"
        ]
        plan.start_training()
        assert plan.total_s == 250 + 30
        assert plan.training_share(plan.elapsed()) == 0
        clock.now += 15
        assert 0 < plan.training_share(plan.elapsed()) < 1
        clock.now += 6
        assert plan.training_share(plan.elapsed()) == 1

    def test_a_wrong_plan_is_reported_again(self) -> None:
        plan, clock = self.plan(1.0)
        reported = []
        for seconds, share in [(2, 0.001), (2, 0.011), (2, 0.2), (5, 0.3), (20, 0.35), (20, 0.4), (360, 1.0)]:
            clock.now += seconds
            _, text = plan.encoding(share)
            reported.append(text.split(",")[0])
        first, *more = [(i, text) for i, text in enumerate(reported) if text]
        assert first == (2, "encoding takes about 0:22")  # 1 % of the work is too little for an estimate
        assert more
        assert all(text.startswith("encoding takes longer than reported") for _, text in more)
        assert more[0][0] == 4

    def test_a_resumed_run_counts_the_time_of_earlier_processes(self) -> None:
        plan, clock = self.plan(1.0, calibrates=False)
        clock.now += 4
        plan.start_training(elapsed=30.0, prepared_s=6.0)
        assert plan.elapsed() == 34
        assert plan.prepared_s == 10
        assert plan.training_share(plan.elapsed()) == pytest.approx(24 / (60 - 10 - 1.8))

    def test_epochs_have_no_deadline(self) -> None:
        clock = Clock()
        plan = Plan(Budget(epochs=1), calibrates=True, clock=clock)
        clock.now += 10
        plan.start_training()
        clock.now += 30
        assert plan.deadline() == plan.total_s == math.inf
        assert plan.run_share(0.25) == (0.25 * (1 - CALIBRATION_SHARE), pytest.approx(90))
        assert plan.encoding(0.5)[1] == ""


class TestCalibrationTime:
    TARGET = np.full((3, 3), 25.0)

    @pytest.mark.parametrize("seconds", [0.5, 2.0, 8.0, 1000.0])
    def test_calibration_ends_on_time(self, seconds: float) -> None:
        clock = Clock()
        end = clock.now + seconds

        def on_progress(share: float, note: str) -> None:
            clock.now += 0.1  # for each chunk of some steps

        calibration = calibrate(uncalibrated(), START, self.TARGET, 6000, 0, on_progress, lambda: end - clock.now)
        assert clock.now <= end + 0.1 + 1e-6
        unlimited = calibrate(uncalibrated(), START, self.TARGET, 6000, 0)
        if seconds == 1000:
            assert calibration.rounds == ROUNDS
            assert np.array_equal(calibration.logit_bias, unlimited.logit_bias)
        elif seconds == 0.5:
            assert calibration.rounds < ROUNDS
        if calibration.rounds:
            assert calibration.logit_bias.any()
            assert calibration.by_genre(["a", "b", "c"]).keys() == {"a", "b", "c"}
        else:
            assert not calibration.logit_bias.any()
            assert calibration.by_genre(["a", "b", "c"]) == {}


@pytest.mark.parametrize("tick", [0.02, 0.05])
@pytest.mark.parametrize("clock_name", ["wall", "cpu"])
def test_a_run_takes_its_minutes(
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
    batches = trainer.validation.batches
    trainer._fit_validation(1e-9)
    assert trainer.validation.batches == batches
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
