"""Fingerprints of recordings: hashes of spectral peaks, robust to encoding, level, fades and start.

Peaks of a spectrogram are combined as in A. Wang, "An industrial-strength audio search algorithm" (ISMIR 2003), but
three at a time instead of two. A hash of three peaks is so rare that unrelated recordings share almost none, so
thousands of recordings can be compared through an index instead of pair by pair.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.write import from_pcm16
from noizenet.base.errors import CorpusError, NoizenetError
from noizenet.base.files import write_bytes
from noizenet.base.names import library_path

VERSION = 1
CACHE_SUFFIX = ".landmarks.npy"
WINDOW_S = 0.1
HOPS_PER_WINDOW = 4
LOW_HZ, HIGH_HZ = 60.0, 3_000.0
"""Frequency band that every encoder, and every sample rate of at least 8 kHz, preserves."""
NEIGHBOURHOOD_HZ, NEIGHBOURHOOD_S = 80.0, 0.25
"""A peak is the maximum within this distance in frequency and in time, on both sides."""
RANGE_DB, RANGE_S = 45.0, 1.0
"""A peak is at most `RANGE_DB` below the maximum within `RANGE_S`."""
RISE_DB = 1.0
"""Minimum rise of a peak over its neighbourhood at the same frequency: excludes held tones, whose maxima are noise."""
FAN_OUT, TARGET_ZONE_S = 5, 2.0
"""A peak is combined with pairs of the next `FAN_OUT` peaks, at most `TARGET_ZONE_S` later."""
TIME_STEP_HOPS = 2.0
"""Time differences in a hash are rounded to multiples of this many hops."""
MAX_HASHES_PER_SECOND = 25
"""If there are more hashes per second, one in two, four, … is kept. The choice depends only on the hash, so that
two copies keep the same hashes."""
MAX_REPEATS = 8
"""Largest number of occurrences kept per hash: a held tone repeats the same hash."""
CHUNK_FRAMES = 4096
"""Number of spectrogram frames processed at once."""


@dataclass(frozen=True)
class Fingerprint:
    """The hashes of a recording, with their positions.

    Attributes
    ----------
    hashes : ndarray, uint32 [N]
    times : ndarray, int32 [N]
        Position of each hash, in hops of :func:`hop` samples.
    """

    hashes: NDArray[np.uint32]
    times: NDArray[np.int32]


def window(sample_rate: int) -> int:
    """Return the window length of the spectrogram in samples: the power of two nearest to 0.1 s."""
    return int(2 ** max(5, round(np.log2(WINDOW_S * sample_rate))))


def hop(sample_rate: int) -> int:
    """Return the hop of the spectrogram in samples."""
    return window(sample_rate) // HOPS_PER_WINDOW


def fingerprint(path: Path) -> Fingerprint:
    """Return the fingerprint of a prepared recording.

    Parameters
    ----------
    path : Path
        A 16-bit file; its channels are mixed to mono.

    Returns
    -------
    Fingerprint
        Cached next to the file (:data:`CACHE_SUFFIX`) if that folder can be written to.

    Raises
    ------
    CorpusError
        If the file cannot be read.
    """
    cache = path.with_suffix(CACHE_SUFFIX)
    with explain_read_errors(path):
        size = path.stat().st_size & 0xFFFFFFFF
    found = _load(cache, size)
    if found is None:
        with explain_read_errors(path):
            times, bins, rate = _peaks(path)
        found = _combine(times, bins, rate)
        _store(cache, size, found)
    return found


@contextlib.contextmanager
def explain_read_errors(*paths: Path) -> Iterator[None]:
    """Convert errors of reading prepared audio into a CorpusError with one line.

    Raises
    ------
    CorpusError
        For any failure to read.
    """
    import soundfile

    try:
        yield
    except (OSError, RuntimeError, soundfile.SoundFileError) as error:
        names = " or ".join(map(str, paths))
        raise CorpusError(f"{names}: the prepared audio is missing or damaged; remove it and build again") from error


def _load(cache: Path, size: int) -> Fingerprint | None:
    try:
        with cache.open("rb") as handle:
            rows = np.load(handle, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if rows.dtype != np.uint32 or rows.ndim != 2 or len(rows) != 2 or list(rows[:, :1].ravel()) != [VERSION, size]:
        return None
    return Fingerprint(rows[0, 1:], rows[1, 1:].astype(np.int32))


def _store(cache: Path, size: int, found: Fingerprint) -> None:
    rows = np.zeros((2, len(found.hashes) + 1), np.uint32)
    rows[:, 0] = VERSION, size
    rows[0, 1:], rows[1, 1:] = found.hashes, found.times
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    with contextlib.suppress(OSError, NoizenetError):  # the cache is optional
        write_bytes(cache, buffer.getvalue())


def _peaks(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Return the times (in hops) and the bins of a recording's spectral peaks, ordered by time."""
    import soundfile

    with soundfile.SoundFile(library_path(path)) as handle:
        rate = handle.samplerate
        size = window(rate)
        margin = round(max(NEIGHBOURHOOD_S, RANGE_S) * rate / hop(rate)) + 1
        found = list(_peaks_of_chunks(_chunks(handle, size, hop(rate), margin), rate, margin))
    times = np.concatenate([t for t, _ in found] or [np.zeros(0)])
    bins = np.concatenate([b for _, b in found] or [np.zeros(0, np.int64)])
    return times, bins, rate


def _chunks(handle: object, size: int, step: int, margin: int) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield (first frame, number of frames, samples of these frames plus `margin` frames on both sides)."""
    total = max(0, (handle.frames - size) // step + 1)  # type: ignore[attr-defined]
    for first in range(0, total, CHUNK_FRAMES):
        low, high = max(0, first - margin), min(total, first + CHUNK_FRAMES + margin)
        handle.seek(low * step)  # type: ignore[attr-defined]
        pcm = handle.read((high - low - 1) * step + size, dtype="int16", always_2d=True)  # type: ignore[attr-defined]
        yield first, min(CHUNK_FRAMES, total - first), from_pcm16(pcm).mean(1)


def _peaks_of_chunks(
    chunks: Iterator[tuple[int, int, NDArray[np.float32]]], rate: int, margin: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    from scipy.ndimage import maximum_filter, maximum_filter1d

    size, step = window(rate), hop(rate)
    low = max(1, round(LOW_HZ * size / rate))
    high = min(round(HIGH_HZ * size / rate), size // 2)
    neighbourhood = (
        2 * round(NEIGHBOURHOOD_S * rate / step) + 1,
        2 * max(1, round(NEIGHBOURHOOD_HZ * size / rate)) + 1,
    )
    long = 2 * round(RANGE_S * rate / step) + 1
    for first, count, samples in chunks:
        skipped = min(first, margin)
        level = _levels(samples, size, step, low, high)
        highest = maximum_filter(level, neighbourhood, mode="nearest")
        loudest = maximum_filter1d(level.max(1), long, mode="nearest")[:, None]
        is_peak = (level == highest) & (level > loudest - RANGE_DB) & (level > -95)
        is_peak[1:] &= level[1:] > level[:-1]  # of a plateau, only its start
        is_peak[:skipped] = is_peak[skipped + count :] = False
        times, bins = np.nonzero(is_peak)
        neighbours = times[:, None] + np.arange(-(neighbourhood[0] // 2), neighbourhood[0] // 2 + 1)
        rises = (
            level[times, bins] - level[neighbours.clip(0, len(level) - 1), bins[:, None]].min(1, initial=np.inf)
            > RISE_DB
        )
        times, bins = times[rises], bins[rises]
        yield _interpolate_times(level, times, bins) + first - skipped, bins + low


def _interpolate_times(
    level: NDArray[np.float32], times: NDArray[np.int64], bins: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the times of peaks between frames, by parabolic interpolation of three levels."""
    before, after = np.maximum(times - 1, 0), np.minimum(times + 1, len(level) - 1)
    a, b, c = (level[t, bins].astype(np.float64) for t in (before, times, after))
    bend = a - 2 * b + c
    shift = np.divide(a - c, 2 * bend, out=np.zeros_like(bend), where=bend < -1e-3)
    middle: NDArray[np.float64] = times + np.clip(shift, -0.5, 0.5)
    return middle


def _levels(samples: NDArray[np.float32], size: int, step: int, low: int, high: int) -> NDArray[np.float32]:
    """Return the band's levels in dB, [frames, bins]."""
    from scipy.fft import rfft

    from noizenet.audio.dsp import hann

    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    shape = hann(size).astype(np.float32)
    parts = []
    for start in range(0, len(frames), 512):
        spectrum = rfft(frames[start : start + 512] * shape, axis=1)[:, low:high]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        parts.append(10 * np.log10(power * np.float32(16 / size**2) + np.float32(1e-12)))
    return np.concatenate(parts)


def _combine(times: NDArray[np.float64], bins: NDArray[np.int64], rate: int) -> Fingerprint:
    """Hash every peak with each pair of the :data:`FAN_OUT` peaks that follow it."""
    reach = round(TARGET_ZONE_S * rate / hop(rate))
    hashes, at = [], []
    for i in range(1, FAN_OUT + 1):
        for j in range(i + 1, FAN_OUT + 1):
            if len(times) <= j:
                continue
            t0, t1, t2 = times[:-j], times[i : len(times) - j + i], times[j:]
            f0, f1, f2 = bins[:-j], bins[i : len(bins) - j + i], bins[j:]
            near = (t2 - t0 <= reach) & (t2 - t0 >= 1)
            words = [f0, f1, f2, np.rint((t1 - t0) / TIME_STEP_HOPS), np.rint((t2 - t0) / TIME_STEP_HOPS)]
            hashes.append(_hash_columns(np.stack([w[near].astype(np.int64) for w in words])))
            at.append(np.rint(t0[near]).astype(np.int64))
    if not hashes:
        return Fingerprint(np.zeros(0, np.uint32), np.zeros(0, np.int32))
    seconds = float(times[-1] - times[0]) * hop(rate) / rate
    return _subsample(np.concatenate(hashes), np.concatenate(at), MAX_HASHES_PER_SECOND * seconds)


def _hash_columns(words: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return a 32-bit hash of each column (multiply and shift, as in the finalizer of MurmurHash)."""
    value = np.full(words.shape[1], 0x9E3779B97F4A7C15, np.uint64)
    for word in words:
        value ^= word.astype(np.uint64)
        value *= np.uint64(0xFF51AFD7ED558CCD)
        value ^= value >> np.uint64(33)
    return (value >> np.uint64(16)).astype(np.uint32)


def _subsample(hashes: NDArray[np.uint32], times: NDArray[np.int64], limit: float) -> Fingerprint:
    one_in = 1
    while len(hashes) > 2 * one_in * limit:
        one_in *= 2
    keep = hashes % one_in == 0
    hashes, times = hashes[keep], times[keep]
    order = np.lexsort((times, hashes))
    hashes, times = hashes[order], times[order]
    repeated = np.zeros(len(hashes), bool)
    if len(hashes) > MAX_REPEATS:
        repeated[MAX_REPEATS:] = hashes[MAX_REPEATS:] == hashes[:-MAX_REPEATS]
    return Fingerprint(hashes[~repeated], times[~repeated].astype(np.int32))
