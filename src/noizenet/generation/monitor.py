"""The live watch on a stream, and what may be done when it dies.

Once a second the last three seconds are judged. They are dead when the judge says so (silence, a constant, a frozen
value, one tone, a short loop, white noise), or when the network itself finds what it plays far more likely or far less
likely than it found its held-out music ("likelihood").

The policy ("recover"), where it is asked for: go back to the newest memory that was saved before the dead stretch began
and that led to nothing dead yet, go on from there with other random numbers, and for ten seconds sample warmer after
death by stillness, cooler after death by noise: a tenth, and at least as far as the model's own temperature. A stream
that dies again within half a minute of its treatment is treated twice as long as before: where what was asked for
kills, in the end it yields. Where no saved memory is left, begin anew. The join is cross-faded by the stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.model.stepper import Stepper, StepperState

Judge = Callable[[NDArray[np.float32], int], str]

STRETCH_S, HOP_S, SAVED, TREAT_S, RELAPSE_S = 3.0, 1.0, 16, 10.0, 30.0
WARMER, COOLER = 1.1, 0.9
UNLIKELY, LIKELY = 2.0, 0.2
"""Bits per frame over those of held-out music in training, beyond which a stretch is far from it."""


@dataclass
class WatchReport:
    """What the watch saw: seconds dead by cause, and at which second each rescue was made."""

    seconds: float = 0.0
    dead_s: float = 0.0
    causes: dict[str, float] = field(default_factory=dict)
    rescues: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "seconds": round(self.seconds, 3),
            "dead_seconds": round(self.dead_s, 3),
            "causes": {k: round(v, 3) for k, v in self.causes.items()},
            "rescues": self.rescues,
        }


class StreamMonitor:
    """Watches one stream; mends it where it may.

    Parameters
    ----------
    judge : callable
        Names the cause of death of a stretch of mono samples at a rate, or returns an empty text.
    sample_rate : int
    expected_bits : float, optional
        Bits per frame of held-out music; None leaves likelihood out.
    default_temperature : float
        The model's own temperature.
    recover : bool

    Attributes
    ----------
    report : WatchReport
    """

    def __init__(
        self, judge: Judge, sample_rate: int, expected_bits: float | None, default_temperature: float, *, recover: bool
    ) -> None:
        self._judge, self._rate, self._expected, self._default_temperature, self._recover = (
            judge,
            sample_rate,
            expected_bits,
            default_temperature,
            recover,
        )
        self._recent = np.zeros(0, np.float32)
        self._bits: deque[float] = deque(maxlen=round(STRETCH_S / HOP_S))
        self._saved: deque[tuple[float, StepperState]] = deque(maxlen=SAVED)
        self._dead_until = 0.0
        self._treated_until, self._treatment_s, self._cool = -RELAPSE_S, TREAT_S, False
        self.report = WatchReport()

    def temperature(self, asked: float) -> float:
        """Return the temperature to sample at where `asked` is asked for."""
        if self.report.seconds >= self._treated_until:
            return asked
        return (
            min(asked * COOLER, self._default_temperature)
            if self._cool
            else max(asked * WARMER, self._default_temperature)
        )

    def update(self, samples: NDArray[np.float32], stepper: Stepper) -> StepperState | None:
        """Take in the last second, [n] mono; return where the stepper stood if it was sent back.

        Parameters
        ----------
        samples : ndarray
        stepper : Stepper
            As it stands after those samples.
        """
        r = self.report
        r.seconds += len(samples) / self._rate
        self._recent = np.concatenate([self._recent, samples])[-round(STRETCH_S * self._rate) :]
        bits = stepper.pop_nll()
        if bits is not None:
            self._bits.append(bits)
        cause, noisy = self._cause()
        if not cause:
            if self._recover:
                self._saved.append((r.seconds, stepper.save()))
            return None
        fresh = r.seconds - max(r.seconds - STRETCH_S, self._dead_until)
        self._dead_until = r.seconds
        r.dead_s += fresh
        r.causes[cause] = r.causes.get(cause, 0.0) + fresh
        if not self._recover:
            return None
        before = stepper.save()
        self._send_back(stepper, noisy)
        return before

    def _cause(self) -> tuple[str, bool]:
        """Return what the last seconds died of, if they did, and whether by noise rather than stillness."""
        if len(self._recent) < round(STRETCH_S * self._rate):
            return "", False
        cause = self._judge(self._recent, self._rate)
        if cause or self._expected is None or len(self._bits) < (self._bits.maxlen or 0):
            return cause, cause == "noise"
        ratio = sum(self._bits) / len(self._bits) / max(self._expected, 1e-3)
        return "" if LIKELY <= ratio <= UNLIKELY else "likelihood", ratio > UNLIKELY

    def _send_back(self, stepper: Stepper, noisy: bool) -> None:
        now = self.report.seconds
        while self._saved and self._saved[-1][0] > now - STRETCH_S:
            self._saved.pop()  # these lie within the dead stretch
        if self._saved:
            stepper.restore(self._saved.pop()[1], randomness=False)  # used once: what led here twice is not kept
        else:
            stepper.restart()
        self.report.rescues.append(round(now, 3))
        relapsed = now <= self._treated_until + RELAPSE_S
        self._treatment_s = 2 * self._treatment_s if relapsed else TREAT_S
        self._treated_until, self._cool = now + self._treatment_s, noisy
        self._recent = np.zeros(0, np.float32)
        self._bits.clear()
