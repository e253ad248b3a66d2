"""Monitor of a stream: detects degenerate output and recovers from it.

The monitor checks the last three seconds once a second. They are degenerate if the detector names a failure mode
(silence, a constant, a frozen value, one tone, a short loop, white noise), or if the network's mean negative
log-likelihood of its own output is far above or below that of held-out music (failure mode "likelihood").

Recovery restores the newest snapshot of the network's state from before the degenerate segment, and uses each snapshot
once. The random generator continues, so that the network takes another course. For ten seconds the temperature is
higher (lower after noise): by a tenth, and at least up (down) to the model's default. If the stream degenerates again
within half a minute of such a correction, the next one lasts twice as long; so a requested temperature that always
fails gives way in the end. Without a snapshot the network starts from its initial state. The stream cross-fades the
joint.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.model.stepper import Stepper, StepperState

FailureDetector = Callable[[NDArray[np.float32], int], str]
"""Returns the failure mode of mono samples at a sample rate, or an empty text for healthy ones."""

WINDOW_S, HOP_S, MAX_SNAPSHOTS, CORRECTION_S, RELAPSE_S = 3.0, 1.0, 16, 10.0, 30.0
RAISED, LOWERED = 1.1, 0.9
"""Factors of the temperature during a correction."""
MAX_NLL_RATIO, MIN_NLL_RATIO = 2.0, 0.2
"""Limits of the ratio of bits per frame to those of held-out music in training."""


@dataclass
class WatchReport:
    """Result of the monitor: degenerate seconds by failure mode, and the times of recoveries in seconds."""

    seconds: float = 0.0
    degenerate_s: float = 0.0
    causes: dict[str, float] = field(default_factory=dict)
    recoveries: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-compatible data."""
        return {
            "seconds": round(self.seconds, 3),
            "dead_seconds": round(self.degenerate_s, 3),
            "causes": {k: round(v, 3) for k, v in self.causes.items()},
            "rescues": self.recoveries,
        }


class StreamMonitor:
    """Monitor of one stream.

    Parameters
    ----------
    detector : callable
        See :data:`FailureDetector`.
    sample_rate : int
    expected_bits : float, optional
        Bits per frame of held-out music; None disables the check of the likelihood.
    default_temperature : float
        The model's default temperature.
    recover : bool
        Whether to recover from degenerate output or only to report it.

    Attributes
    ----------
    report : WatchReport
    """

    def __init__(
        self,
        detector: FailureDetector,
        sample_rate: int,
        expected_bits: float | None,
        default_temperature: float,
        *,
        recover: bool,
    ) -> None:
        self._detector, self._rate, self._expected_bits = detector, sample_rate, expected_bits
        self._default_temperature, self._recover = default_temperature, recover
        self._recent = np.zeros(0, np.float32)
        self._bits: deque[float] = deque(maxlen=round(WINDOW_S / HOP_S))
        self._snapshots: deque[tuple[float, StepperState]] = deque(maxlen=MAX_SNAPSHOTS)
        self._degenerate_until = 0.0
        self._corrected_until, self._correction_s, self._lower = -RELAPSE_S, CORRECTION_S, False
        self.report = WatchReport()

    def temperature(self, requested: float) -> float:
        """Return the temperature to sample with, which differs from the requested one during a correction."""
        if self.report.seconds >= self._corrected_until:
            return requested
        if self._lower:
            return min(requested * LOWERED, self._default_temperature)
        return max(requested * RAISED, self._default_temperature)

    def update(self, samples: NDArray[np.float32], stepper: Stepper) -> StepperState | None:
        """Check the stream after one more second, and recover it if it is degenerate.

        Parameters
        ----------
        samples : ndarray, float32 [n]
            The last second, mono.
        stepper : Stepper
            The network after those samples; a recovery changes its state.

        Returns
        -------
        StepperState, optional
            The state before a recovery; None if there was none.
        """
        r = self.report
        r.seconds += len(samples) / self._rate
        self._recent = np.concatenate([self._recent, samples])[-round(WINDOW_S * self._rate) :]
        bits = stepper.pop_nll()
        if bits is not None:
            self._bits.append(bits)
        cause, noisy = self._failure()
        if not cause:
            if self._recover:
                self._snapshots.append((r.seconds, stepper.save()))
            return None
        new = r.seconds - max(r.seconds - WINDOW_S, self._degenerate_until)
        self._degenerate_until = r.seconds
        r.degenerate_s += new
        r.causes[cause] = r.causes.get(cause, 0.0) + new
        if not self._recover:
            return None
        before = stepper.save()
        self._restore(stepper, noisy)
        return before

    def _failure(self) -> tuple[str, bool]:
        """Return the failure mode of the window, or an empty text, and whether the output is too random."""
        if len(self._recent) < round(WINDOW_S * self._rate):
            return "", False
        cause = self._detector(self._recent, self._rate)
        if cause or self._expected_bits is None or len(self._bits) < (self._bits.maxlen or 0):
            return cause, cause == "noise"
        ratio = sum(self._bits) / len(self._bits) / max(self._expected_bits, 1e-3)
        return "" if MIN_NLL_RATIO <= ratio <= MAX_NLL_RATIO else "likelihood", ratio > MAX_NLL_RATIO

    def _restore(self, stepper: Stepper, noisy: bool) -> None:
        now = self.report.seconds
        while self._snapshots and self._snapshots[-1][0] > now - WINDOW_S:
            self._snapshots.pop()  # from within the degenerate segment
        if self._snapshots:
            stepper.restore(self._snapshots.pop()[1], randomness=False)
        else:
            stepper.restart()
        self.report.recoveries.append(round(now, 3))
        relapsed = now <= self._corrected_until + RELAPSE_S
        self._correction_s = 2 * self._correction_s if relapsed else CORRECTION_S
        self._corrected_until, self._lower = now + self._correction_s, noisy
        self._recent = np.zeros(0, np.float32)
        self._bits.clear()
