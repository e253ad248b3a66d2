"""What a budget is spent on: encoding, training and calibration; and how much of it is left."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from noizenet.audio.units import format_seconds
from noizenet.base.errors import UsageError

CALIBRATION_SHARE = 0.15
"""Of the minutes that are asked for."""
LEAST_SHARE = 0.5
"""Of the minutes, left for training and calibration whatever encoding takes: the whole may take longer, and is told."""
VALIDATION_SHARE = 0.05
"""Of the minutes, for one validation at most."""
CLOSING_S, CLOSING_SHARE = 2.0, 0.03
"""For the model folder and the picture of the curves: so many seconds, but no more than this share."""
CLOCKS = {"wall": time.monotonic, "cpu": time.process_time}
"""Neither goes back when the computer's time is set."""
TELL_AFTER_S, RECENT_S = 3.0, 15.0
ENOUGH_SHARE, ENOUGH_S = 0.02, 10.0
"""What encoding takes is told when so much of the corpus was measured, or for so many seconds."""
WRONG = 1.5
"""What was told is corrected where it is wrong by this factor."""


@dataclass(frozen=True)
class Budget:
    """When to stop: after `minutes` in all, or after `epochs`; exactly one is given.

    Minutes include encoding the corpus and calibration; epochs are of training. `clock` says which minutes: those on
    the wall, or those of this process on all cores ("cpu").
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
    """How a run stands.

    Attributes
    ----------
    step : int
    done : float
        Share of the whole run, 0 … 1: of minutes what is spent; of epochs as far as it can be known.
    loss : float
        Mean since the last report; NaN in other phases than training.
    validation : float or None
        The latest held-out loss.
    audio_rate : float
        Seconds of sound read per second.
    seconds_left : float
        Until the run ends; of epochs until the phase ends. NaN where it is not known.
    message : str
        What happened and should be seen: a line each.
    note : str
        What is done now, where it is not a step of training.
    phase : str
        ``encoding``, ``training``, ``validation`` or ``calibration``.
    plan : str
        How long the run will take, told where that is not what was asked for, and again where it proves wrong.
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
    """The clock of one run, and what it still has to be spent on.

    Parameters
    ----------
    budget : Budget
    calibrates : bool
        Whether calibration follows training.
    clock : callable, optional
        Returns seconds; by default the budget's clock.

    Attributes
    ----------
    prepared : float
        Seconds spent before the first step, over all resumes.
    validation_s, step_s : float
        What a validation and a step take.
    calibration_s : float
        What calibration may take; its share of the minutes until it is known to take less.
    """

    def __init__(self, budget: Budget, *, calibrates: bool, clock: Callable[[], float] | None = None) -> None:
        self._budget, self._calibrates = budget, calibrates
        self._clock = clock or CLOCKS[budget.clock]
        self._begun = self._clock()
        self._encoding = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        self._measured_from: tuple[float, float] | None = None
        self._told_s = 0.0  # what was told that encoding takes; 0: nothing yet
        self.prepared = self.validation_s = self.step_s = 0.0
        self.calibration_s = CALIBRATION_SHARE * self.asked if calibrates and self.asked < math.inf else 0.0

    def fit_calibration(self, seconds: float) -> None:
        """Keep no more for calibration than it is expected to take."""
        self.calibration_s = min(self.calibration_s, seconds)

    def elapsed(self) -> float:
        """Return the seconds spent since the run began, over all resumes."""
        return self._clock() - self._begun

    def start_training(self, elapsed: float = 0.0, prepared: float = 0.0) -> None:
        """Take what this process has spent until now for preparation, and count what earlier ones spent."""
        self.prepared = prepared + self.elapsed()
        self._begun -= elapsed
        self._encoding = 0.0

    @property
    def asked(self) -> float:
        """The seconds asked for; infinite for epochs."""
        return 60 * self._budget.minutes if self._budget.minutes is not None else math.inf

    @property
    def total(self) -> float:
        """The seconds that the run takes; infinite for epochs."""
        return max(self.asked, max(self.prepared, self._encoding) + LEAST_SHARE * self.asked)

    def encoding(self, share: float) -> tuple[float, str]:
        """Take in the share of the tracks that is encoded; return the seconds left for the rest, and a plan to tell."""
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
        self._encoding = now + left
        return left, self._news(now - self._measured_from[0], share - self._measured_from[1])

    def _news(self, seconds: float, share: float) -> str:
        """Return the plan where it has to be told: `seconds` and a `share` of the work were measured."""
        if self.asked == math.inf or self.elapsed() < TELL_AFTER_S or (share < ENOUGH_SHARE and seconds < ENOUGH_S):
            return ""
        if self._told_s:
            if self._told_s / WRONG < self._encoding < self._told_s * WRONG:
                return ""
            how = "longer" if self._encoding > self._told_s else "less"
            self._told_s = self._encoding
            return self._spoken(f"encoding takes {how} than was said, about")
        if self._encoding < CALIBRATION_SHARE * self.asked:
            return ""
        self._told_s = self._encoding
        return self._spoken("encoding takes about")

    def _spoken(self, opening: str) -> str:
        training = self.total - self._encoding - self.calibration_s
        parts = f"{opening} {format_seconds(self._encoding)}, training {format_seconds(training)}"
        if self._calibrates:
            parts += f", calibration {format_seconds(self.calibration_s)}"
        whole = f"; {format_seconds(self.total)} in all" if self.total > self.asked else ""
        return f"{parts}{whole} (what is encoded is kept for the next training)"

    def deadline(self) -> float:
        """Return the second at which calibration has to end; infinite for epochs."""
        end = self.total - self._closing()
        if self._calibrates:  # its result is measured once more
            end -= self.validation_s
        # Steps that took longer than they should do not leave calibration without any time.
        return max(end, self.elapsed() + LEAST_SHARE * self.calibration_s) if self._calibrates else end

    def _closing(self) -> float:
        return min(CLOSING_S, CLOSING_SHARE * self.asked)

    def trained(self, elapsed: float) -> float:
        """Return the share of training's minutes that is spent, 0 …; 1 where another step would not fit."""
        after = self._closing() + self.validation_s * (2 if self._calibrates else 1) + self.calibration_s
        whole = max(LEAST_SHARE**2 * self.asked, self.total - self.prepared - after)
        spent = elapsed - self.prepared
        return 1.0 if spent + self.step_s / 2 >= whole else max(0.0, spent / whole)

    def whole(self, share: float) -> tuple[float, float]:
        """Return the share of the whole run that is done and the seconds left, while a share of training is done."""
        elapsed = self.elapsed()
        if self.asked < math.inf:
            return min(0.999, elapsed / self.total), max(0.0, self.total - elapsed)
        left = (elapsed - self.prepared) * (1 - share) / share if share > 0 else math.nan
        return share * (1 - CALIBRATION_SHARE if self._calibrates else 1.0), max(0.0, left)
