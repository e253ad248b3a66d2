"""Division of a budget between encoding, training and calibration, and the time left."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from noizenet.audio.units import format_seconds
from noizenet.base.errors import UsageError

CALIBRATION_SHARE = 0.15
"""Share of the minutes for calibration."""
MIN_SHARE = 0.5
"""Least share of the minutes for training and calibration: after a long encoding the run takes longer than asked."""
VALIDATION_SHARE = 0.05
"""Largest share of the minutes for one validation."""
CLOSING_S, CLOSING_SHARE = 2.0, 0.03
"""Time for writing the model folder and the figure of the curves, in seconds, and its largest share of the minutes."""
CLOCKS = {"wall": time.monotonic, "cpu": time.process_time}
"""Monotonic clocks, by name."""
REPORT_AFTER_S, RECENT_S = 3.0, 15.0
MEASURED_SHARE, MEASURED_S = 0.02, 10.0
"""The duration of encoding is reported when so much of the corpus, or so many seconds, were measured."""
CORRECTION_FACTOR = 1.5
"""A reported duration is corrected if it is wrong by this factor."""


@dataclass(frozen=True)
class Budget:
    """When to stop: after `minutes` in all or after `epochs`. Give exactly one.

    Minutes include encoding and calibration; epochs are of training. `clock` is "wall", or "cpu" for the CPU time of
    this process on all cores.
    """

    minutes: float | None = None
    epochs: float | None = None
    clock: str = "wall"

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.epochs is None):
            raise UsageError("give either minutes or epochs")
        if self.clock not in CLOCKS:
            raise UsageError(f"clock: {self.clock!r} is neither 'wall' nor 'cpu'")
        for name, value in (("minutes", self.minutes), ("epochs", self.epochs)):
            if value is not None and not 0 < value < 1e9:
                raise UsageError(f"{name}: {value} is not above 0")


@dataclass(frozen=True)
class Progress:
    """State of a run.

    Attributes
    ----------
    step : int
    done : float
        Share of the run, 0 … 1: of the minutes, or of the epochs as far as known.
    loss : float
        Mean training loss since the last report; NaN in other phases than training.
    validation : float or None
        The latest validation loss.
    audio_rate : float
        Seconds of audio read per second.
    seconds_left : float
        Until the run ends, or with epochs until the phase ends. NaN if unknown.
    message : str
        Remarks for the user, one per line.
    note : str
        The current work in other phases than training.
    phase : str
        ``encoding``, ``training``, ``validation`` or ``calibration``.
    plan : str
        Expected durations, if they differ from the budget; repeated if they prove wrong.
    """

    step: int
    done: float
    loss: float
    validation: float | None
    audio_rate: float
    seconds_left: float
    message: str = ""
    note: str = ""
    phase: str = "training"
    plan: str = ""


class Plan:
    """Clock of a run, and the division of its time.

    Parameters
    ----------
    budget : Budget
    calibrates : bool
        Whether calibration follows training.
    clock : callable, optional
        Returns seconds; by default the budget's clock.

    Attributes
    ----------
    prepared_s : float
        Seconds spent before the first step, over all resumes.
    validation_s, step_s : float
        Durations of a validation and a step.
    calibration_s : float
        Time for calibration: its share of the minutes, or less once its duration is known.
    """

    def __init__(self, budget: Budget, *, calibrates: bool, clock: Callable[[], float] | None = None) -> None:
        self._budget, self._calibrates = budget, calibrates
        self._clock = clock or CLOCKS[budget.clock]
        self._start_s = self._clock()
        self._encoding_s = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        self._measured_from: tuple[float, float] | None = None
        self._reported_s = 0.0  # the reported duration of encoding; 0: none yet
        self.prepared_s = self.validation_s = self.step_s = 0.0
        self.calibration_s = CALIBRATION_SHARE * self.requested_s if calibrates and self.requested_s < math.inf else 0.0

    def fit_calibration(self, seconds: float) -> None:
        """Limit the time for calibration to its expected duration."""
        self.calibration_s = min(self.calibration_s, seconds)

    def elapsed(self) -> float:
        """Return the seconds spent since the run started, over all resumes."""
        return self._clock() - self._start_s

    def start_training(self, elapsed: float = 0.0, prepared_s: float = 0.0) -> None:
        """End the preparation, and add the `elapsed` and `prepared_s` seconds of earlier processes of this run."""
        self.prepared_s = prepared_s + self.elapsed()
        self._start_s -= elapsed
        self._encoding_s = 0.0

    @property
    def requested_s(self) -> float:
        """The seconds of the budget; infinite for epochs."""
        return 60 * self._budget.minutes if self._budget.minutes is not None else math.inf

    @property
    def total_s(self) -> float:
        """The seconds that the run takes in all; infinite for epochs."""
        return max(self.requested_s, max(self.prepared_s, self._encoding_s) + MIN_SHARE * self.requested_s)

    def encoding(self, share: float) -> tuple[float, str]:
        """Record the share of the tracks that is encoded; return the seconds left, and a plan to report or ""."""
        now = self.elapsed()
        self._recent.append((now, share))
        if self._measured_from is None:
            self._measured_from = now, share
        while len(self._recent) > 2 and now - self._recent[0][0] > RECENT_S:
            self._recent.popleft()
        then, before = self._recent[0]
        if share <= before or now <= then:
            return (0.0 if share >= 1 else math.nan), ""
        left = (1 - share) * (now - then) / (share - before)
        self._encoding_s = now + left
        return left, self._plan_update(now - self._measured_from[0], share - self._measured_from[1])

    def _plan_update(self, seconds: float, share: float) -> str:
        """Return the plan if it has to be reported, after `seconds` and a `share` of the work were measured."""
        if (
            self.requested_s == math.inf
            or self.elapsed() < REPORT_AFTER_S
            or (share < MEASURED_SHARE and seconds < MEASURED_S)
        ):
            return ""
        if self._reported_s:
            if self._reported_s / CORRECTION_FACTOR < self._encoding_s < self._reported_s * CORRECTION_FACTOR:
                return ""
            how = "longer" if self._encoding_s > self._reported_s else "less"
            self._reported_s = self._encoding_s
            return self._format_plan(f"encoding takes {how} than reported, about")
        if self._encoding_s < CALIBRATION_SHARE * self.requested_s:
            return ""
        self._reported_s = self._encoding_s
        return self._format_plan("encoding takes about")

    def _format_plan(self, opening: str) -> str:
        training = self.total_s - self._encoding_s - self.calibration_s
        parts = f"{opening} {format_seconds(self._encoding_s)}, training {format_seconds(training)}"
        if self._calibrates:
            parts += f", calibration {format_seconds(self.calibration_s)}"
        whole = f"; {format_seconds(self.total_s)} in all" if self.total_s > self.requested_s else ""
        return f"{parts}{whole} (encoded tracks are kept for the next training)"

    def deadline(self) -> float:
        """Return the time in seconds at which calibration has to end; infinite for epochs."""
        end = self.total_s - self._closing()
        if self._calibrates:  # another validation follows it
            end -= self.validation_s
        # If training took too long, some time is left for calibration.
        return max(end, self.elapsed() + MIN_SHARE * self.calibration_s) if self._calibrates else end

    def _closing(self) -> float:
        return min(CLOSING_S, CLOSING_SHARE * self.requested_s)

    def training_share(self, elapsed: float) -> float:
        """Return the share of the training time that is spent, 0 … 1; 1 if another step would not fit."""
        after = self._closing() + self.validation_s * (2 if self._calibrates else 1) + self.calibration_s
        whole = max(MIN_SHARE**2 * self.requested_s, self.total_s - self.prepared_s - after)
        spent = elapsed - self.prepared_s
        return 1.0 if spent + self.step_s / 2 >= whole else max(0.0, spent / whole)

    def run_share(self, share: float) -> tuple[float, float]:
        """Return the share of the run that is done and the seconds left, from the share of training that is done."""
        elapsed = self.elapsed()
        if self.requested_s < math.inf:
            return min(0.999, elapsed / self.total_s), max(0.0, self.total_s - elapsed)
        left = (elapsed - self.prepared_s) * (1 - share) / share if share > 0 else math.nan
        return share * (1 - CALIBRATION_SHARE if self._calibrates else 1.0), max(0.0, left)
