"""One recording → one 16-bit WAV at the corpus's rate, with its levels. Runs in a worker process."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from noizenet.audio.read import AudioReader, converted_blocks
from noizenet.audio.write import AudioWriter
from noizenet.base.errors import AudioError, DiskFullError, NoizenetError
from noizenet.base.files import explain_os_error, write_json

SILENT_PEAK = 10 ** (-66 / 20)
"""Below this peak (-66 dB) a recording is silence, not music."""
CONSTANT_SPREAD = 1e-3
"""A recording whose samples stay within this range of their mean is a DC offset."""


@dataclass(frozen=True)
class Prepared:
    """The result for one recording.

    `audio` is the prepared file's name, empty where the recording was refused; `problem` says why, or what
    was lost. Levels are linear, `rms` without the DC offset.
    """

    audio: str
    content: str
    frames: int
    peak: float
    rms: float
    clipped: int
    artist: str
    title: str
    problem: str = ""


def prepare(path: Path, folder: Path, sample_rate: int, channels: int, min_seconds: float) -> Prepared:
    """Decode, convert and store one recording, unless that was done before.

    Parameters
    ----------
    path : Path
        The recording.
    folder : Path
        Where prepared audio lies.
    sample_rate, channels : int
        The corpus's format.
    min_seconds : float
        Shorter recordings are refused.

    Returns
    -------
    Prepared

    Raises
    ------
    DiskFullError
        When there is no room; any other failure is the recording's own and is returned as `problem`.
    """
    content = ""
    try:
        content = content_hash(path)
        name = f"{content}-{sample_rate}-{channels}"
        cached = _cached(folder, name)
        if cached is not None and cached.frames >= min_seconds * sample_rate:
            return cached
        result = _decode(path, folder, name, content, sample_rate, channels, min_seconds)
        if result.audio:
            write_json(folder / f"{name}.json", asdict(result))
        return result
    except DiskFullError:
        raise
    except NoizenetError as error:
        return _refused(content, str(error).removeprefix(f"{path}: "))


def content_hash(path: Path) -> str:
    """Return the BLAKE2b hash of a file's bytes, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as handle:
            while piece := handle.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    return digest.hexdigest()


def _cached(folder: Path, name: str) -> Prepared | None:
    try:
        stored = Prepared(**json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        size = (folder / stored.audio).stat().st_size
    except (OSError, ValueError, TypeError):
        return None
    channels = int(name.rsplit("-", 1)[1])
    return stored if size >= stored.frames * 2 * channels else None


def _decode(
    path: Path, folder: Path, name: str, content: str, sample_rate: int, channels: int, min_seconds: float
) -> Prepared:
    problem = ""
    total = squares = 0.0
    low, high = np.inf, -np.inf
    with AudioReader(path) as reader:
        expected = int((reader.info.seconds or 0) * sample_rate * 1.01)
        writer = AudioWriter(folder / f"{name}.wav", sample_rate, channels, expected)
        try:
            for block in converted_blocks(reader, sample_rate, channels):
                low, high = min(low, float(block.min())), max(high, float(block.max()))
                flat = block.ravel()
                total += float(flat.sum(dtype=np.float64))
                squares += float(np.dot(flat, flat))
                writer.write(block)
            frames = writer.frames
            problem = "; ".join(issue.text for issue in reader.issues)
            peak = max(high, -low, 0.0)
            refusal = _refusal(frames, sample_rate, min_seconds, peak, high - low, problem)
            if refusal:
                writer.abort()
                return _refused(content, refusal)
            writer.commit(durable=False)
        except BaseException:
            writer.abort()
            raise
        info = reader.info
    count = max(1, frames * channels)
    mean = total / count
    return Prepared(
        audio=f"{name}.wav",
        content=content,
        frames=frames,
        peak=min(peak, 1.0),
        rms=float(np.sqrt(max(squares / count - mean * mean, 0.0))),
        clipped=writer.clipped,
        artist=info.artist,
        title=info.title,
        problem=problem,
    )


def _refusal(frames: int, rate: int, min_seconds: float, peak: float, spread: float, problem: str) -> str:
    if frames == 0:
        return problem or "holds no sound (zero length)"
    if frames < min_seconds * rate:
        short = f"too short ({frames / rate:.2f} s, at least {min_seconds:g} s are needed)"
        return f"{short}; {problem}" if problem else short
    if peak < SILENT_PEAK:
        return "silent from end to end"
    if spread < CONSTANT_SPREAD:
        return "constant from end to end (a DC offset, no sound)"
    return ""


def _refused(content: str, reason: str) -> Prepared:
    return Prepared("", content, 0, 0.0, 0.0, 0, "", "", reason)


def safe_prepare(path: Path, folder: Path, rate: int, channels: int, min_seconds: float) -> Prepared | DiskFullError:
    """Return :func:`prepare`'s result, or the full disk as a value (exceptions lose their class on the way back)."""
    try:
        return prepare(path, folder, rate, channels, min_seconds)
    except DiskFullError as error:
        return error
    except OSError as error:
        explained = explain_os_error(error, path)
        return explained if isinstance(explained, DiskFullError) else _refused("", str(explained))
