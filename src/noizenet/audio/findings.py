"""Problems found while a file is decoded: damage, invalid samples, a declared length that does not match."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.frames import Gap
from noizenet.audio.issue import Issue, lost, repaired
from noizenet.audio.link import Link, Structure
from noizenet.base.errors import AudioError

MAX_SAMPLE = 1e10
"""A larger sample counts as invalid, like NaN (32-bit integers reach 2e9)."""
BARELY_S = 0.05
"""Less than this missing at the end is encoder padding."""
EXACTLY_S = 0.002
NEAR_END_S = 0.3
MAX_PLACES = 4
"""Up to this number, damaged places are listed one by one."""


class Findings:
    """Counts decoded and lost audio, and reports problems as issues.

    Parameters
    ----------
    path : Path
        For error messages.
    issues : list of Issue
        Issues are appended to it.
    rate : int
        Sample rate, Hz.
    """

    def __init__(self, path: Path, issues: list[Issue], rate: int) -> None:
        self._path, self._issues, self._rate = path, issues, rate
        self._frames = 0
        self._lost_s = 0.0
        self._gaps: list[tuple[float, float]] = []
        self._unrecorded: list[tuple[float, float]] = []
        self._bad = 0
        self._bad_first_s = self._bad_last_s = 0.0
        self._links = 0
        self._unreadable: list[str] = []
        self._kinds: set[tuple[int, int]] = set()
        self._cut_s = 0.0

    @property
    def at_s(self) -> float:
        """Position in the file: seconds decoded and lost."""
        return self._frames / self._rate + self._lost_s

    def begin(self, link: Link) -> None:
        """Record the start of a link."""
        self._cut_s = 0.0
        if link.resumes_s is None:
            self._links += 1
        elif link.resumes_s > self.at_s:
            self.gap(Gap(link.resumes_s - self.at_s))

    def end(self, kinds: set[tuple[int, int]]) -> None:
        """Record the end of a link, and its (rate, channel count) pairs."""
        self._kinds |= kinds

    def unreadable_link(self, why: str) -> None:
        """Record a link that cannot be opened."""
        self._unreadable.append(why)

    def gap(self, gap: Gap) -> None:
        """Record audio that is missing here."""
        if gap.at_end:
            self._cut_s = gap.seconds
            return
        at = self.at_s
        if gap.only_stamps:
            self._unrecorded.append((at, gap.seconds))
            self._lost_s += gap.seconds
            return
        if self._gaps and at - sum(self._gaps[-1]) < 0.1:  # adjacent gaps are one damaged place
            first, _ = self._gaps[-1]
            self._gaps[-1] = (first, at + gap.seconds - first)
        else:
            self._gaps.append((at, gap.seconds))
        self._lost_s += gap.seconds

    def take(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Count a block; invalid samples become zeros."""
        top = np.abs(block).max() if len(block) else 0.0
        if not top <= MAX_SAMPLE:  # also where it is NaN
            bad = ~(np.abs(block) <= MAX_SAMPLE)
            rows = np.flatnonzero(bad.any(axis=1))
            if not self._bad:
                self._bad_first_s = self.at_s + rows[0] / self._rate
            self._bad_last_s = self.at_s + rows[-1] / self._rate
            self._bad += len(rows)
            block = np.where(bad, np.float32(0), block)
        self._frames += len(block)
        return block

    def conclude(self, structure: Structure, declared_s: float | None, *, exact: bool = False) -> None:
        """Compare the header, the bytes and the decoded audio, and report the differences.

        If the declared length is `exact`, missing frames are reported even where no gap was found.

        Raises
        ------
        AudioError
            If nothing was decoded, or every sample is invalid.
        """
        seconds = self.at_s
        if not self._frames:
            what = f"; its header declares {declared_s:.1f} s" if declared_s else ""
            raise AudioError(f"{self._path}: holds no sound (zero length{what})")
        if self._bad == self._frames:
            raise AudioError(f"{self._path}: holds only NaN, infinity or levels beyond 32-bit numbers; export it again")
        if structure.cut and self._gaps and sum(self._gaps[-1]) > seconds - NEAR_END_S:  # the last packet, cut off
            seconds = self._gaps.pop()[0]
        self._report_gaps()
        self._report_unrecorded()
        self._report_bad()
        self._report_links()
        count = len(self._issues)
        self._report_length(structure, declared_s, seconds)
        short = (declared_s or 0.0) - seconds
        if exact and not self._gaps and len(self._issues) == count and short > EXACTLY_S:
            self._issues.append(
                lost(f"damaged ({_short(short)} of the {declared_s:.1f} s that its header declares are lost)")
            )

    def _report_gaps(self) -> None:
        if len(self._gaps) <= MAX_PLACES:
            self._issues += [lost(f"damaged at {at:.1f} s ({_short(s)} lost)") for at, s in self._gaps]
            return
        places = ", ".join(f"{at:.1f}" for at, _ in self._gaps[:MAX_PLACES])
        total = sum(s for _, s in self._gaps)
        self._issues.append(
            lost(f"damaged at {places} s and {len(self._gaps) - MAX_PLACES} more places ({_short(total)} lost)")
        )

    def _report_unrecorded(self) -> None:
        joined = "where nothing was recorded; the audio before and after it was joined"
        if len(self._unrecorded) <= MAX_PLACES:
            self._issues += [
                repaired(f"a gap of {_short(s)} in its time stamps at {at:.1f} s, {joined}")
                for at, s in self._unrecorded
            ]
            return
        total = sum(s for _, s in self._unrecorded)
        self._issues.append(
            repaired(
                f"{len(self._unrecorded)} gaps in its time stamps ({_short(total)} in all, the first at "
                f"{self._unrecorded[0][0]:.1f} s), {joined}"
            )
        )

    def _report_bad(self) -> None:
        if not self._bad:
            return
        samples = "sample" if self._bad == 1 else "samples"
        first, last = f"{self._bad_first_s:.2f}", f"{self._bad_last_s:.2f}"
        where = f"at {first} s" if first == last else f"from {first} s to {last} s"
        self._issues.append(
            lost(f"{self._bad:,} NaN or infinite {samples} {where}, replaced by zeros; the rest is kept")
        )

    def _report_links(self) -> None:
        for why in self._unreadable:
            self._issues.append(lost(f"one of the recordings joined in this file cannot be decoded ({why})"))
        kinds = ""
        if len({rate for rate, _ in self._kinds}) > 1:
            kinds = ", of " + " and ".join(f"{r:,} Hz" for r in sorted({rate for rate, _ in self._kinds}))
        if len({channels for _, channels in self._kinds}) > 1:
            kinds += ", of " + " and ".join(str(c) for c in sorted({c for _, c in self._kinds})) + " channels"
        if self._links > 1:
            self._issues.append(repaired(f"{self._links} recordings joined in one file{kinds}: all were decoded"))
        elif kinds:
            self._issues.append(repaired(f"audio{kinds}: all was converted to {self._rate:,} Hz"))

    def _report_length(self, structure: Structure, declared_s: float | None, seconds: float) -> None:
        slack = max(4096 / self._rate, 0.1, 0.0005 * seconds)
        short = None if declared_s is None else declared_s - seconds
        length = f" (its header declares {declared_s:.1f} s)" if short is not None and short > 0.05 else ""
        # Bytes that are missing in the middle are reported as a gap, not as a missing end as well.
        cut = structure.cut and (short is None or short > (slack if self._gaps else 0.01))
        broken = structure.cut is None and self._cut_s > 0 and structure.checked_end
        if cut or (short is not None and short > slack and (broken or self._unsure(structure))):
            self._issues.append(lost(f"damaged after {seconds:.1f} s{length}"))
        elif self._cut_s > BARELY_S and (short is None or short > BARELY_S):
            detail = length or f" ({_short(self._cut_s)} lost)"
            self._issues.append(lost(f"damaged after {seconds:.1f} s{detail}"))
        elif short is not None and short > slack:
            self._issues.append(
                repaired(f"the header's length is wrong: it declares {declared_s:.1f} s, {seconds:.1f} s were decoded")
            )
        elif short is not None and short < -slack:
            self._issues.append(repaired(f"the header declares {declared_s:.1f} s, {seconds:.1f} s were decoded"))
        self._issues += structure.issues

    @staticmethod
    def _unsure(structure: Structure) -> bool:
        """Whether a missing end would show neither in the bytes nor as a broken last frame."""
        return structure.cut is None and not structure.checked_end


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.95 else f"{max(seconds, 0.001):.2g} s"
