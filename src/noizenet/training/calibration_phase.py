"""The calibration of a run, after its training: what it takes of the budget, and its progress."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from noizenet.model.weights import Weights
from noizenet.training.calibration import ROUNDS, STREAMS, calibrate, expected_seconds, target_means
from noizenet.training.log import MetricsLog
from noizenet.training.plan import CALIBRATION_SHARE
from noizenet.training.stopping import Interrupted

if TYPE_CHECKING:
    from noizenet.training.loop import Trainer

NOTE_EVERY_S = 2.0
MARGIN, CORPUS_READ_S = 1.2, 1.5
"""Factor on the expected duration, and seconds for reading the corpus."""


def fit_calibration(run: Trainer) -> None:
    """Measure how long calibration will take, so that training gets the rest of the time."""
    if run.calibrates:
        weights = Weights.of_state(run.architecture, run.network.state_dict())
        seconds = expected_seconds(weights, run.representation.silence(), _samples(run), run.plan.elapsed)
        run.plan.fit_calibration(MARGIN * seconds + CORPUS_READ_S)


def calibrate_best(run: Trainer, log: MetricsLog) -> None:
    """Calibrate the best weights; a run that is stopped meanwhile calibrates when it is resumed."""
    started, deadline = run.plan.elapsed(), run.plan.deadline()
    noted = -math.inf

    def show(share: float, note: str) -> None:
        nonlocal noted
        if run.stop.is_set():
            run.store()
            raise Interrupted
        now = run.plan.elapsed()
        spent = now - started
        if now - noted >= NOTE_EVERY_S:
            noted = now
            log.add(run.step, {"phase": "calibration", "seconds": round(now, 3)})
        if deadline < math.inf:
            done, left = run.plan.run_share(1.0)
        else:
            done = 1 - CALIBRATION_SHARE * (1 - share)
            left = spent * (1 - share) / share if share else math.nan
        run.report_phase(min(0.999, done), left, "calibration", note)

    show(0.0, "measuring the corpus")
    target = target_means(
        run.corpus, run.corpus.split("train"), run.representation, run.network.frame_multiple, run.seed
    )
    weights = Weights.of_state(run.architecture, run.best_weights())
    time_left = None if deadline == math.inf else lambda: deadline - run.plan.elapsed()
    calibration = calibrate(weights, run.representation.silence(), target, _samples(run), run.seed, show, time_left)
    run.best = {**run.best_weights(), "coarse.logit_bias": torch.from_numpy(calibration.logit_bias)}
    run.network.load_state_dict(run.best)
    if run.validation is not None:
        run.calibrated_metrics = run.validation.measure(run.network, bf16=run.bf16)
    run.calibration = calibration.by_genre(run.corpus.genres)
    if calibration.rounds < ROUNDS:
        run.messages.append(
            f"calibration had time for {calibration.rounds} of {ROUNDS} rounds; more minutes make it more accurate"
        )
        log.add(run.step, {"event": run.messages[-1]})
        run.report_phase(0.999, 0.0, "calibration", "done")
    run.calibrated_s = run.plan.elapsed() - started


def _samples(run: Trainer) -> int:
    return round(run.config.training.calibration_seconds / STREAMS * run.representation.frame_rate)
