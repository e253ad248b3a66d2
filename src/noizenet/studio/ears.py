"""Beats of the songs that visitors give, found by a process of its own: ``python -m noizenet.studio.ears RATE``.

The library that finds them takes 125 MB, for good; a song is given once, and the studio runs for days.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.beats import Beats, find_beats

LIMIT_S = 120.0
KEPT = 64

_found: OrderedDict[str, Beats] = OrderedDict()


def beats_elsewhere(samples: NDArray[np.float32], sample_rate: int) -> Beats:
    """Return what :func:`~noizenet.audio.beats.find_beats` finds.

    Parameters
    ----------
    samples : ndarray, float32 [n]
        Mono.
    sample_rate : int
    """
    data = np.ascontiguousarray(samples, "<f4").tobytes()
    key = hashlib.sha256(data).hexdigest() + str(sample_rate)
    if key not in _found:
        # A busy computer must not change what is heard: what the other process cannot say in time is found here.
        _found[key] = _asked(data, sample_rate) or find_beats(samples, sample_rate)
        while len(_found) > KEPT:
            _found.popitem(last=False)
    return _found[key]


def _asked(data: bytes, sample_rate: int) -> Beats | None:
    command = [sys.executable, "-m", "noizenet.studio.ears", str(sample_rate)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=LIMIT_S, check=True)
        told = json.loads(done.stdout)
        return Beats(np.array(told["times"], np.float64), np.array(told["clear"], bool))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


def main(sample_rate: int) -> None:
    """Read mono float32 samples from standard input; print their beats."""
    beats = find_beats(np.frombuffer(sys.stdin.buffer.read(), "<f4"), sample_rate)
    sys.stdout.write(json.dumps({"times": beats.times.tolist(), "clear": beats.clear.tolist()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
