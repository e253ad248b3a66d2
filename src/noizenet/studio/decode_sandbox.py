"""Decode one file in a process of its own, with limits: ``python -m noizenet.studio.decode_sandbox``.

What a hostile file does to a decoder, it does to this process alone: it has so much memory and processor time, writes
one file of limited size, opens few files, and on Linux has no network where the system lets it give that up.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from noizenet.base.errors import AudioError, NoizenetError
from noizenet.studio.settings import Limits

PEAKS = 400
MOST_KEPT_BYTES = 64 << 20
OPEN_FILES = 64
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


class SlowError(AudioError):
    """A file took longer than one has the patience for here; it may be decoded all the same."""


def probe(
    path: Path, limits: Limits, name: str = "", *, last_seconds: float = 0.0, keep: Path | None = None,
    patience_s: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return length, rate and channels of a sound file, and 400 peaks of it (or of its end), from another process.

    Parameters
    ----------
    path : Path
    limits : Limits
    name : str
        What the visitor calls the file.
    last_seconds : float
        The part that the peaks show; 0: all.
    keep : Path, optional
        Where that part is written as a plain wav.
    patience_s : float, optional
        Give up after so many seconds already, with SlowError.

    Raises
    ------
    SlowError
    AudioError
        If it cannot be decoded within the limits.
    """
    name = name or path.name
    wish = {
        "path": str(path), "most_s": limits.decoded_seconds, "last_s": last_seconds, "cpu_s": limits.decode_cpu_s,
        "memory": limits.decode_bytes, "keep": None if keep is None else str(keep),
    }  # fmt: skip
    command = [sys.executable, "-m", "noizenet.studio.decode_sandbox", json.dumps(wish)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=patience_s or 2 * limits.decode_cpu_s,
            env=_environment(),
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        if "problem" in found:
            raise AudioError(f"{name}: {found['problem']}")
    except subprocess.TimeoutExpired as error:
        _drop(keep)
        raise (SlowError if patience_s else AudioError)(f"{name}: takes too long to decode") from error
    except ValueError as error:
        _drop(keep)
        raise AudioError(f"{name}: cannot be decoded within the limits on time and memory") from error
    except AudioError:
        _drop(keep)
        raise
    return found


def _drop(keep: Path | None) -> None:
    if keep is not None:
        keep.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """Return the environment without the way to any proxy; one thread, since each reserves memory."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _limit(cpu_s: int, memory: int) -> None:
    """Give up what decoding does not need; none of this can be taken back."""
    with contextlib.suppress(OSError, AttributeError):  # not every system, and not every container lets us
        ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)
    try:
        import resource
    except ImportError:  # pragma: no cover - no such limits on this system
        return
    for kind, value in (
        (resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, MOST_KEPT_BYTES), (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):  # fmt: skip
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def _look(path: Path, most_s: float, last_s: float, keep: str | None) -> dict[str, Any]:
    import numpy as np

    from noizenet.audio.read import AudioReader

    with AudioReader(path) as reader:
        rate, channels = reader.info.sample_rate, reader.info.channels
        frames, loudest, tail = 0, [], []
        for block in reader.blocks():
            frames += len(block)
            if frames > most_s * rate:
                return {"problem": f"longer than {most_s / 60:.0f} minutes"}
            levels = np.abs(block).reshape(len(block), -1).max(1)
            step = max(1, rate // 50)
            loudest += [float(levels[i : i + step].max()) for i in range(0, len(levels), step)]
            if keep:
                tail.append(block)
                while len(tail) > 1 and sum(map(len, tail[1:])) >= last_s * rate:
                    tail.pop(0)
        issues = [getattr(issue, "text", str(issue)) for issue in getattr(reader, "issues", [])]
    if not frames:
        return {"problem": "holds no sound"}
    if keep:
        _write(keep, np.concatenate(tail)[-max(1, round(last_s * rate)) :], rate)
    kept = loudest[-max(1, round(last_s * 50)) :] if last_s else loudest
    parts = np.array_split(np.asarray(kept), min(PEAKS, len(kept)))
    return {"seconds": frames / rate, "sample_rate": rate, "channels": channels, "issues": issues[:20],
            "peaks": [round(float(p.max()), 3) for p in parts]}  # fmt: skip


def _write(path: str, samples: Any, rate: int) -> None:
    """Write samples as they are, float32: nothing is limited or rounded on the way to the network."""
    import soundfile

    try:
        soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")
    except (OSError, RuntimeError) as error:
        raise AudioError(f"what was decoded cannot be kept ({error})") from error


def main(argument: str) -> None:
    """Decode a file and print what it is, or one line that says why not."""
    wish = json.loads(argument)
    path = wish["path"]
    try:
        _limit(int(wish["cpu_s"]), int(wish["memory"]))
        found = _look(Path(path), wish["most_s"], wish["last_s"], wish["keep"])
    except NoizenetError as error:
        found = {"problem": str(error).removeprefix(f"{path}: ").replace(path, "the file")}
    except MemoryError:
        found = {"problem": "needs more memory to decode than is allowed"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
