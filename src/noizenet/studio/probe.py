"""A process of its own that decodes one file, with limits on time and memory: ``python -m noizenet.studio.probe``.

What a hostile file does to a decoder, it does to this process alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from noizenet.base.errors import AudioError, NoizenetError
from noizenet.studio.settings import Limits

PEAKS = 400


def probe(path: Path, limits: Limits, last_seconds: float = 0.0) -> dict[str, Any]:
    """Return length, rate and channels of a sound file, and 400 peaks of it (or of its end), from another process.

    Raises
    ------
    AudioError
        If it cannot be decoded within the limits.
    """
    command = [
        sys.executable, "-m", "noizenet.studio.probe", str(path), str(limits.decoded_seconds), str(last_seconds),
        str(limits.decode_cpu_s), str(limits.decode_bytes),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * limits.decode_cpu_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise AudioError(f"{path.name}: takes too long to decode") from error
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise AudioError(f"{path.name}: cannot be decoded within the limits on time and memory") from error
    if "problem" in found:
        raise AudioError(f"{path.name}: {found['problem']}")
    return found


def _limit(cpu_s: int, memory: int) -> None:
    try:
        import resource
    except ImportError:  # pragma: no cover - no such limits on this system
        return
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _look(path: Path, most_s: float, last_s: float) -> dict[str, Any]:
    import numpy as np

    from noizenet.audio.read import AudioReader

    with AudioReader(path) as reader:
        rate, channels = reader.info.sample_rate, reader.info.channels
        frames, loudest = 0, []
        for block in reader.blocks():
            frames += len(block)
            if frames > most_s * rate:
                return {"problem": f"longer than {most_s / 60:.0f} minutes"}
            levels = np.abs(block).reshape(len(block), -1).max(1)
            step = max(1, rate // 50)
            loudest += [float(levels[i : i + step].max()) for i in range(0, len(levels), step)]
    if not frames:
        return {"problem": "holds no sound"}
    kept = loudest[-max(1, round(last_s * 50)) :] if last_s else loudest
    parts = np.array_split(np.asarray(kept), min(PEAKS, len(kept)))
    return {"seconds": frames / rate, "sample_rate": rate, "channels": channels,
            "peaks": [round(float(p.max()), 3) for p in parts]}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Decode a file and print what it is, or one line that says why not."""
    path, most_s, last_s, cpu_s, memory = arguments
    try:
        _limit(int(cpu_s), int(memory))
        found = _look(Path(path), float(most_s), float(last_s))
    except NoizenetError as error:
        found = {"problem": str(error).removeprefix(f"{path}: ")}
    except MemoryError:
        found = {"problem": "needs more memory to decode than is allowed"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
