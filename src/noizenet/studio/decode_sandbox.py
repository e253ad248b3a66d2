"""Decode one file in a restricted subprocess: ``python -m noizenet.studio.decode_sandbox``.

A hostile file can only attack this process. It has limited memory and processor time, writes one file of limited size,
opens few files, and has no network on Linux systems that allow a process to drop it.
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
MAX_OUTPUT_BYTES = 64 << 20
MAX_OPEN_FILES = 64
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


class DecodeTimeoutError(AudioError):
    """Decoding exceeded `timeout_s`; the file may still be valid."""


def probe(
    path: Path, limits: Limits, name: str = "", *, last_seconds: float = 0.0, keep: Path | None = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the length, sample rate, channels and 400 peaks of an audio file (or of its end), from a subprocess.

    Parameters
    ----------
    path : Path
    limits : Limits
    name : str
        The file's name in error messages.
    last_seconds : float
        Length of the end that the peaks show; 0 for the whole file.
    keep : Path, optional
        Output path of that part, as a WAV file.
    patience_s : float, optional
        Time limit in seconds, with DecodeTimeoutError; by default twice the limit of processor time, with AudioError.

    Raises
    ------
    DecodeTimeoutError
        If decoding takes longer than `timeout_s`.
    AudioError
        If the file cannot be decoded within the limits.
    """
    name = name or path.name
    request = {
        "path": str(path), "most_s": limits.decoded_seconds, "last_s": last_seconds, "cpu_s": limits.decode_cpu_s,
        "memory": limits.decode_bytes, "keep": None if keep is None else str(keep),
    }  # fmt: skip
    command = [sys.executable, "-m", "noizenet.studio.decode_sandbox", json.dumps(request)]
    try:
        completed = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=timeout_s or 2 * limits.decode_cpu_s,
            env=_environment(),
        )  # fmt: skip
        found: dict[str, Any] = json.loads(completed.stdout)
        if "problem" in found:
            raise AudioError(f"{name}: {found['problem']}")
    except subprocess.TimeoutExpired as error:
        _remove_output(keep)
        raise (DecodeTimeoutError if timeout_s else AudioError)(f"{name}: takes too long to decode") from error
    except ValueError as error:
        _remove_output(keep)
        raise AudioError(f"{name}: cannot be decoded within the limits on time and memory") from error
    except AudioError:
        _remove_output(keep)
        raise
    return found


def _remove_output(keep: Path | None) -> None:
    if keep is not None:
        keep.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """Return the environment without proxies, and with one thread, since each thread reserves memory."""
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _restrict_process(cpu_s: int, memory: int) -> None:
    """Drop the network and set resource limits; this cannot be undone."""
    with contextlib.suppress(OSError, AttributeError):  # not every system or container allows it
        ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)
    try:
        import resource
    except ImportError:  # pragma: no cover - no such limits on this system
        return
    for kind, value in (
        (resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, MAX_OUTPUT_BYTES), (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
    ):  # fmt: skip
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def _decode(path: Path, max_s: float, last_s: float, keep: str | None) -> dict[str, Any]:
    import numpy as np

    from noizenet.audio.read import AudioReader

    with AudioReader(path) as reader:
        rate, channels = reader.info.sample_rate, reader.info.channels
        frames, levels, last_blocks = 0, [], []
        for block in reader.blocks():
            frames += len(block)
            if frames > max_s * rate:
                return {"problem": f"longer than {max_s / 60:.0f} minutes"}
            magnitudes = np.abs(block).reshape(len(block), -1).max(1)
            step = max(1, rate // 50)
            levels += [float(magnitudes[i : i + step].max()) for i in range(0, len(magnitudes), step)]
            if keep:
                last_blocks.append(block)
                while len(last_blocks) > 1 and sum(map(len, last_blocks[1:])) >= last_s * rate:
                    last_blocks.pop(0)
        issues = [getattr(issue, "text", str(issue)) for issue in getattr(reader, "issues", [])]
    if not frames:
        return {"problem": "contains no audio"}
    if keep:
        _write(keep, np.concatenate(last_blocks)[-max(1, round(last_s * rate)) :], rate)
    shown = levels[-max(1, round(last_s * 50)) :] if last_s else levels
    parts = np.array_split(np.asarray(shown), min(PEAKS, len(shown)))
    return {"seconds": frames / rate, "sample_rate": rate, "channels": channels, "issues": issues[:20],
            "peaks": [round(float(p.max()), 3) for p in parts]}  # fmt: skip


def _write(path: str, samples: Any, rate: int) -> None:
    """Write samples as float32, without clipping or rounding."""
    import soundfile

    try:
        soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")
    except (OSError, RuntimeError) as error:
        raise AudioError(f"the decoded audio cannot be written ({error})") from error


def main(argument: str) -> None:
    """Decode a file; print its properties, or a problem, as JSON."""
    request = json.loads(argument)
    path = request["path"]
    try:
        _restrict_process(int(request["cpu_s"]), int(request["memory"]))
        found = _decode(Path(path), request["most_s"], request["last_s"], request["keep"])
    except NoizenetError as error:
        found = {"problem": str(error).removeprefix(f"{path}: ").replace(path, "the file")}
    except MemoryError:
        found = {"problem": "decoding needs more memory than is allowed"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
