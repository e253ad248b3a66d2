"""Beat detection of audio prompts in a subprocess: ``python -m noizenet.studio.beat_subprocess RATE``.

The beat-detection library never frees the 125 MB that it takes. Prompts are rare, and the studio runs for days.
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

TIMEOUT_S = 120.0
CACHE_SIZE = 64

_cache: OrderedDict[str, Beats] = OrderedDict()


def find_beats_in_subprocess(samples: NDArray[np.float32], sample_rate: int) -> Beats:
    """Return the beats that :func:`~noizenet.audio.beats.find_beats` finds; results are cached.

    Parameters
    ----------
    samples : ndarray, float32 [n]
        Mono.
    sample_rate : int
    """
    data = np.ascontiguousarray(samples, "<f4").tobytes()
    key = hashlib.sha256(data).hexdigest() + str(sample_rate)
    if key not in _cache:
        # A timeout on a busy computer must not change the result: the beats are then found in this process.
        _cache[key] = _run_subprocess(data, sample_rate) or find_beats(samples, sample_rate)
        while len(_cache) > CACHE_SIZE:
            _cache.popitem(last=False)
    return _cache[key]


def _run_subprocess(data: bytes, sample_rate: int) -> Beats | None:
    command = [sys.executable, "-m", "noizenet.studio.beat_subprocess", str(sample_rate)]
    try:
        completed = subprocess.run(command, input=data, capture_output=True, timeout=TIMEOUT_S, check=True)
        found = json.loads(completed.stdout)
        return Beats(np.array(found["times"], np.float64), np.array(found["clear"], bool))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


def main(sample_rate: int) -> None:
    """Read mono float32 samples from standard input; print their beats as JSON."""
    beats = find_beats(np.frombuffer(sys.stdin.buffer.read(), "<f4"), sample_rate)
    sys.stdout.write(json.dumps({"times": beats.times.tolist(), "clear": beats.clear.tolist()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
