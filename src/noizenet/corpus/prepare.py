"""Convert a recording to a 16-bit WAV file at the corpus's rate and measure its levels. Runs in a worker process.

A recording is decoded once, to 32-bit samples with at most two channels. The channel selection, the gain and whether
the recording is skipped are decided from the complete signal and applied while the file is written.
"""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.fold import ONLY_LFE
from noizenet.audio.issue import Issue
from noizenet.audio.levels import fit_level, is_silent
from noizenet.audio.read import AudioReader, converted_blocks
from noizenet.audio.write import AudioWriter
from noizenet.base.errors import AudioError, NoizenetError, UsageError
from noizenet.base.files import explain_os_error, write_json
from noizenet.base.names import plain_text
from noizenet.corpus.spool import Levels, Spool

PREPARATION_VERSION = 5
"""Increased when the conversion changes: prepared files of another version are converted again."""
DITHER_PEAK, DITHER_SMOOTHNESS = 10 ** (-84 / 20), 0.2
"""White noise below this peak (two 16-bit steps) is the dither of a silent recording; music has a higher correlation
of neighbouring samples."""
CONSTANT_SHARE = 1e-3
"""A recording is a DC offset if its range, apart from its edges, is below this share of its peak."""
TOO_SHORT = "too short"
SAME_AS = "the same recording as"


@dataclass(frozen=True)
class Prepared:
    """The result for one recording.

    `audio` is the prepared file's name; it is empty if the recording was skipped, and `problem` is the reason.
    `issues` lists what was repaired or lost. Levels are linear and refer to the stored samples; `rms` excludes the
    DC offset.
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
    issues: tuple[Issue, ...] = ()


def prepare(path: Path, folder: Path, sample_rate: int, channels: int, min_seconds: float) -> Prepared:
    """Decode, convert and store one recording, unless its prepared audio exists.

    Parameters
    ----------
    path : Path
        The recording.
    folder : Path
        Folder of the prepared audio.
    sample_rate, channels : int
        The corpus's format.
    min_seconds : float
        Minimum length; shorter recordings are skipped.

    Returns
    -------
    Prepared
        If the recording itself is at fault, its `problem` is the reason.

    Raises
    ------
    NoizenetError
        If `folder` cannot be written to; a DiskFullError if the disk is full.
    """
    content = ""
    try:
        content = content_hash(path)
        name = f"{content}-{sample_rate}-{channels}-{PREPARATION_VERSION}"
        cached = _cached(folder, name, channels)
        if cached is not None and cached.frames >= min_seconds * sample_rate:
            return cached
        reader = AudioReader(path)
    except (AudioError, UsageError) as error:
        return refused(content, _without_path(error, path))
    with reader:
        spool = Spool(folder, min(2, reader.info.channels))
        with spool:
            try:
                _decode(spool, reader, sample_rate)
            except (AudioError, UsageError) as error:
                return refused(content, _without_path(error, path))
            result = _store(spool, reader, folder / f"{name}.wav", content, sample_rate, channels, min_seconds)
    if result.audio:
        write_json(folder / f"{name}.json", asdict(result))
    return result


def content_hash(path: Path) -> str:
    """Return the BLAKE2b hash of a file's bytes, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise AudioError(f"{path}: not a regular file; give a recording")
        with path.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror}); check its permissions and the disk") from error
    return digest.hexdigest()


def _cached(folder: Path, name: str, channels: int) -> Prepared | None:
    try:
        about = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        stored = Prepared(**{**about, "issues": tuple(Issue(**i) for i in about["issues"])})
        size = (folder / f"{name}.wav").stat().st_size
    except (OSError, ValueError, TypeError, KeyError):
        return None
    complete = stored.audio == f"{name}.wav" and size >= stored.frames * 2 * channels
    return stored if complete else None


def _decode(spool: Spool, reader: AudioReader, sample_rate: int) -> None:
    """Decode a recording to its end; of a damaged one, keep the intact parts."""
    for block in converted_blocks(reader, sample_rate, spool.channels):
        spool.append(block)


def _store(
    spool: Spool,
    reader: AudioReader,
    path: Path,
    content: str,
    sample_rate: int,
    channels: int,
    min_seconds: float,
) -> Prepared:
    """Choose channel and gain from the complete recording, then write it, or return the reason to skip it."""
    column, issues = _choose_channel(spool, channels)
    issues = [*reader.issues, *issues]
    levels = Levels()
    for block in spool.blocks():
        levels.push(_select_channels(block, column, channels))
    refusal = _refusal(spool.frames, sample_rate, min_seconds, levels)
    if any(i.text == ONLY_LFE for i in issues) and not refusal.startswith(TOO_SHORT):
        return refused(content, ONLY_LFE)  # the other channels are silent or codec noise
    if refusal:
        lost = [i.text for i in issues if i.kind == "lost"]
        return refused(content, "; ".join([refusal, *lost]))
    gain, level_issue = fit_level(levels.peak)
    if level_issue is not None:
        issues.append(level_issue)
    with AudioWriter(path, sample_rate, channels, spool.frames) as writer:
        for block in spool.blocks():
            writer.write(_select_channels(block, column, channels) * np.float32(gain))
    return Prepared(
        audio=path.name,
        content=content,
        frames=spool.frames,
        peak=min(levels.peak * gain, 1.0),
        rms=levels.rms * gain,
        clipped=writer.clipped,
        artist=plain_text(reader.info.artist),
        title=plain_text(reader.info.title),
        issues=tuple(issues),
    )


def _choose_channel(spool: Spool, channels: int) -> tuple[int | None, list[Issue]]:
    """Return the index of the channel to keep, or None to keep all (averaged for mono)."""
    if channels == 2 or spool.channels == 1 or not spool.stereo.cancels:
        return None, []
    louder = spool.stereo.louder
    text = f"its channels cancel in mono (one is inverted); only the {('left', 'right')[louder]} one is kept"
    return louder, [Issue("repaired", text)]


def _select_channels(block: NDArray[np.float32], column: int | None, channels: int) -> NDArray[np.float32]:
    if column is not None:
        return np.ascontiguousarray(block[:, column : column + 1])
    if channels == block.shape[1]:
        return block
    if channels == 1:
        return np.asarray((block[:, :1] + block[:, 1:]) * np.float32(0.5))
    return np.repeat(block, channels, axis=1)


def _refusal(frames: int, rate: int, min_seconds: float, levels: Levels) -> str:
    if frames == 0:
        return "contains no audio (zero length)"
    if frames < min_seconds * rate:
        digits = next(d for d in range(2, 12) if float(f"{frames / rate:.{d}f}") < min_seconds or d == 11)
        return f"{TOO_SHORT} ({frames / rate:.{digits}f} s, at least {min_seconds:g} s are needed)"
    dithered = levels.peak < DITHER_PEAK and levels.smoothness < DITHER_SMOOTHNESS
    if is_silent(levels.peak) or dithered:
        return "silent throughout"
    if levels.typical_range < max(DITHER_PEAK, CONSTANT_SHARE * levels.peak) and abs(levels.offset) > levels.peak / 2:
        return "constant throughout (a DC offset, no audio)"
    return ""


def refused(content: str, reason: str) -> Prepared:
    """Return the result for a skipped recording."""
    return Prepared("", content, 0, 0.0, 0.0, 0, "", "", plain_text(reason))


def _without_path(error: NoizenetError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")


def safe_prepare(path: Path, folder: Path, rate: int, channels: int, min_seconds: float) -> Prepared | NoizenetError:
    """Return the result of :func:`prepare`, or an error that must end the build.

    The error is returned, not raised, because joblib does not preserve its class. Any other failure is attributed to
    the recording, which is skipped.
    """
    try:
        return prepare(path, folder, rate, channels, min_seconds)
    except NoizenetError as error:
        return error
    except MemoryError:
        return refused("", "not enough memory to prepare it; free memory, use fewer --workers, or cut the recording")
    except OSError as error:
        return explain_os_error(error, folder)
    except Exception as error:  # unexpected failure of a decoder
        return refused("", f"the decoder failed ({type(error).__name__}: {error})")
