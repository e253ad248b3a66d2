"""Level normalisation: recordings that are too loud or too quiet for 16 bits are scaled, and this is reported."""

from __future__ import annotations

import math

from noizenet.audio.issue import Issue, repaired

SILENT_PEAK = 10 ** (-120 / 20)
"""Below this peak (-120 dBFS, eight steps of 24 bits) a recording is digital silence."""
QUIET_PEAK = 10 ** (-40 / 20)
"""Below this peak (-40 dBFS) fewer than ten of 16 bits are used: the level is raised."""
RAISED_PEAK = 10 ** (-12 / 20)
"""Peak of a quiet recording after it was raised."""
REPORTED_PEAK = 10 ** (1 / 20)
"""Lossy codecs and resampling commonly overshoot to this peak (+1 dBFS): scaled down without an issue."""


def is_silent(peak: float) -> bool:
    """Whether a recording with this peak is digital silence; quiet (-70 dBFS) is not silent.

    Examples
    --------
    >>> is_silent(0.0), is_silent(10 ** (-70 / 20))
    (True, False)
    """
    return not peak > SILENT_PEAK


def fit_level(peak: float) -> tuple[float, Issue | None]:
    """Return the gain that fits a recording into 16 bits, and an issue that reports it.

    Parameters
    ----------
    peak : float
        The largest absolute sample, 1 at full scale.

    Returns
    -------
    gain : float
        1 for most recordings. Above full scale (float files): 1 / peak. Below -40 dBFS: the gain that raises the peak
        to -12 dBFS. Digital silence (below -120 dBFS) is not changed.
    issue : Issue or None
        Of kind "repaired" if the gain differs from 1 by more than 1 dB.

    Examples
    --------
    >>> fit_level(0.5)
    (1.0, None)
    >>> fit_level(4.0)
    (0.25, Issue(kind='repaired', text='peak +12.0 dBFS, scaled down by 12.0 dB'))
    """
    if not math.isfinite(peak) or is_silent(peak):
        return 1.0, None
    level = 20 * math.log10(peak)
    if peak > 1.0:
        issue = repaired(f"peak {level:+.1f} dBFS, scaled down by {level:.1f} dB") if peak > REPORTED_PEAK else None
        return 1.0 / peak, issue
    if peak < QUIET_PEAK:
        gain = RAISED_PEAK / peak
        return gain, repaired(f"peak {level:+.1f} dBFS, raised by {20 * math.log10(gain):.1f} dB")
    return 1.0, None
