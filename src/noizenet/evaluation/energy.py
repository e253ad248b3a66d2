"""Energy in joules from the kernel's counters (Linux powercap: Intel's and AMD's running average power limit)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


def read_joules(folder: Path = POWERCAP) -> dict[str, tuple[float, float]] | None:
    """Return each processor package's counter and the value at which it wraps around, in joules.

    None if the kernel exposes no counter to this user.
    """
    found = {}
    try:
        for zone in sorted(folder.glob("intel-rapl:*")):
            if zone.name.count(":") == 1:  # a package; subdomains have a second number
                top = float((zone / "max_energy_range_uj").read_text()) / 1e6
                found[zone.name] = (float((zone / "energy_uj").read_text()) / 1e6, top)
    except (OSError, ValueError):
        return None
    return found or None


def joule_meter(folder: Path = POWERCAP) -> Callable[[], float | None]:
    """Start a measurement; return a function that returns the joules since then (of the whole machine), or None.

    One wrap-around of a counter is handled; call it at least every few minutes.
    """
    begun = read_joules(folder)

    def since() -> float | None:
        now = read_joules(folder)
        if begun is None or now is None or begun.keys() != now.keys():
            return None
        return sum((now[k][0] - begun[k][0]) % begun[k][1] for k in begun)

    return since
