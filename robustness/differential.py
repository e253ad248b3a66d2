"""Compare noizenet, ffmpeg and soundfile as decoders of generated files of every format, rate and layout."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustness import sounds

F32 = NDArray[np.float32]
SECONDS = 1.0
LEVEL_DB = {True: 0.1, False: 0.5}
CORRELATION = {True: 0.999, False: 0.98}
LENGTH_TOLERANCE = 2400
"""Allowed difference in length of lossy formats, in samples: a codec frame or delay (AAC: 2,112)."""
AUDIBLE = 1e-3


def tasks(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield `count` shuffled combinations of format, rate and channels, round robin over formats."""
    combinations = [
        {"what": "differential", "format": f.name, "rate": r, "channels": c}
        for f in sounds.FORMATS.values()
        for r, c in itertools.product(f.rates, f.channels)
    ]
    random.Random(seed).shuffle(combinations)
    seen: dict[str, int] = {}
    for combination in combinations:  # round robin over formats
        combination["turn"] = seen[combination["format"]] = seen.get(combination["format"], -1) + 1
    yield from sorted(combinations, key=lambda combination: combination["turn"])[:count]


def setup() -> Callable[[dict[str, Any]], tuple[str, str]]:
    """Return the function that tests one combination."""
    return attempt


def attempt(task: dict[str, Any]) -> tuple[str, str]:
    """Write a file, decode it with each decoder, and compare."""
    from noizenet.base.errors import NoizenetError

    kind, rate, channels = sounds.FORMATS[task["format"]], task["rate"], task["channels"]
    with tempfile.TemporaryDirectory(prefix="noizenet-robust-") as scratch:
        path = Path(scratch) / f"x{kind.suffix}"
        try:
            sounds.write(path, kind, sounds.music(SECONDS, rate, channels, rate + channels), rate)
        except Exception as error:  # the encoder does not support this rate or layout
            return "unwritable", f"{type(error).__name__}: {error}"[:100]
        try:
            tested, tested_rate = _noizenet(path)
        except NoizenetError as error:
            return "disagree", f"{_name(task)}: noizenet: {str(error).replace(str(path), 'x')}"
        for other, read in (("ffmpeg", _ffmpeg), ("soundfile", _soundfile)):
            found = read(path, tested_rate, channels)
            if found is not None:
                if kind.codec.lower().endswith("opus") and found[1] != tested_rate:
                    continue  # Opus has no inherent rate; libsndfile decodes at another rate
                mismatch = compare(tested, tested_rate, *found, lossless=kind.lossless)
                if mismatch:
                    return "disagree", f"{_name(task)}: {other}: {mismatch}"
    return "fine", ""


def _name(task: dict[str, Any]) -> str:
    return f"{task['format']}, {task['rate']} Hz, {sounds.LAYOUTS[task['channels']]}"


def _noizenet(path: Path) -> tuple[F32, int]:
    from noizenet.audio.read import read

    found = read(path)
    samples = found.samples if found.samples.ndim == 2 else found.samples[:, None]
    return samples, found.sample_rate


def _ffmpeg(path: Path, rate: int, channels: int) -> tuple[F32, int] | None:
    if not shutil.which("ffmpeg"):
        return None
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-i", f"file:{path}", "-map", "a:0", "-ar", str(rate), "-f", "f32le", "-"],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    if done.returncode or not done.stdout:
        return None
    return np.frombuffer(done.stdout[: len(done.stdout) // (4 * channels) * 4 * channels], "<f4").reshape(
        -1, channels
    ), rate


def _soundfile(path: Path, rate: int, channels: int) -> tuple[F32, int] | None:
    import soundfile

    try:
        with soundfile.SoundFile(path) as handle:  # in blocks: one long read of Vorbis loses the end
            samples = np.concatenate(list(handle.blocks(8192, dtype="float32", always_2d=True)))
            return samples, int(handle.samplerate)
    except (RuntimeError, ValueError, OSError):
        return None


def compare(tested: F32, rate: int, reference: F32, reference_rate: int, *, lossless: bool) -> str:
    """Return the difference between two decoded signals, or an empty string.

    The order of channels may differ, as it does between surround decoders. Each channel is compared with the most
    similar one of the reference, and each of those must be matched once.
    """
    if rate != reference_rate:
        return f"rate {rate} against {reference_rate} Hz"
    if tested.shape[1] != reference.shape[1]:
        return f"{tested.shape[1]} against {reference.shape[1]} channels"
    if abs(len(tested) - len(reference)) > (0 if lossless else LENGTH_TOLERANCE):
        return f"{len(tested)} against {len(reference)} samples"
    table = _channel_correlations(tested, reference)
    matches = [int(np.argmax(row)) for row in table]
    if len(set(matches)) < len(matches):
        return f"channels {matches}: one is matched twice"
    for channel, other in enumerate(matches):
        a, b = tested[:, channel], reference[:, other]
        level_a, level_b = float(np.sqrt(np.mean(a**2))), float(np.sqrt(np.mean(b**2)))
        if max(level_a, level_b) < AUDIBLE:
            continue
        if table[channel, other] < CORRELATION[lossless]:
            return f"channel {channel}: correlation {table[channel, other]:.4f}"
        difference = 20 * np.log10(max(level_a, 1e-9) / max(level_b, 1e-9))
        if abs(difference) > LEVEL_DB[lossless]:
            return f"channel {channel}: {difference:+.2f} dB"
    return ""


def _channel_correlations(tested: F32, reference: F32) -> NDArray[np.float64]:
    """Return the largest correlation of channel pairs over all delays of a codec, [C, C]."""
    n = 1 << int(np.ceil(np.log2(max(len(tested), len(reference)) + LENGTH_TOLERANCE)))
    a = np.fft.rfft(tested - tested.mean(0), n, axis=0)
    b = np.fft.rfft(reference - reference.mean(0), n, axis=0)
    table = np.zeros((tested.shape[1], reference.shape[1]))
    scale = np.sqrt(
        np.sum((tested - tested.mean(0)) ** 2, 0)[:, None] * np.sum((reference - reference.mean(0)) ** 2, 0)[None]
    )
    for i, j in np.ndindex(*table.shape):
        both = np.fft.irfft(a[:, i] * np.conj(b[:, j]), n)
        table[i, j] = max(both[: LENGTH_TOLERANCE + 1].max(), both[-LENGTH_TOLERANCE:].max())
    return table / np.maximum(scale, 1e-12)
