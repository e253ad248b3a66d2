"""Find copies of a recording by their audio, independent of encoding, level, sample rate and start.

Fingerprints (:mod:`noizenet.corpus.fingerprint`) propose candidate pairs and their time offsets: an inverted index
counts the hashes that two recordings share at the same offset. Each candidate is then verified by correlation: at
that offset the two waveforms must match. Encoders preserve the waveform; another performance, another key or a shared
sample does not match.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.write import from_pcm16
from noizenet.base.names import library_path
from noizenet.corpus.fingerprint import HIGH_HZ, LOW_HZ, Fingerprint, explain_read_errors, fingerprint, hop

MIN_VOTES, MIN_VOTE_SHARE = 3, 0.01
"""Minimum number of hashes, and minimum share of the shorter recording's hashes, that must agree on one offset."""
NEIGHBOURS, COMMON, COMMON_NEIGHBOURS = 24, 64, 2
"""Each occurrence of a hash is paired with at most `NEIGHBOURS` others. A hash with more than `COMMON` occurrences is
not distinctive, so only `COMMON_NEIGHBOURS` are paired. Many copies of one recording are still joined pair by pair."""
OFFSETS_PER_PAIR = 3
MAX_REJECTED = 8
"""A recording is not compared any more after this many rejected candidates."""
ENTRIES_PER_PASS = 1 << 20
FEW_PER_SECOND, LENGTH_NEIGHBOURS = 2.0, 16

MIN_OVERLAP = 0.4
"""Minimum share of the shorter recording that must overlap the other."""
SAME_CORRELATION, SAME_SHARE = 0.9, 0.5
"""Minimum correlation of an excerpt, and minimum share of the compared excerpts that must reach it.

Measured on real music: copies encoded at 64 kbit/s or more correlate with 0.92 to 1.0 in every excerpt; two songs
over one drum loop, or procedural songs that share key, tempo and accompaniment, reach 0.88.
"""
EXCERPT_S, N_EXCERPTS, FIRST_COMPARED = 3.0, 8, 3
SLACK_S = 0.06
"""Accuracy of the offset that fingerprints give, in seconds."""
FINE_LAG_HZ = 40_000
"""Lags are at least as fine as a sample at this rate, because offsets need not be whole samples."""
SILENT_SHARE = 1e-4
"""An excerpt is silent if its power is below this share of the loudest excerpt's."""


@dataclass(frozen=True)
class Candidate:
    """Recordings `a` < `b` (indices) that may be copies; `b` starts `offset` hops after `a`."""

    a: int
    b: int
    offset: int
    share: float


@dataclass(frozen=True)
class Member:
    """A recording of a group: its index, and its start relative to the group's first member, in seconds."""

    number: int
    offset: float


def find_duplicates(paths: Sequence[Path], sample_rate: int) -> list[list[Member]]:
    """Group the recordings that are copies of one another.

    Parameters
    ----------
    paths : sequence of Path
        Prepared recordings, all at the same sample rate.
    sample_rate : int
        Hz.

    Returns
    -------
    list of list of Member
        Groups of at least two, each in the order of `paths`; a recording is in at most one group.
    """
    fingerprints = [fingerprint(p) for p in paths]
    candidates = propose_pairs(fingerprints) + propose_by_length(
        fingerprints, [_frames(p) / sample_rate for p in paths]
    )
    groups = _Groups(len(paths))
    rejected: dict[int, int] = defaultdict(int)
    for c in sorted(candidates, key=lambda c: (-c.share, c.a, c.b, c.offset)):
        if groups.same_group(c.a, c.b) or (c.share and max(rejected[c.a], rejected[c.b]) >= MAX_REJECTED):
            continue
        offset = matching_offset(paths[c.a], paths[c.b], c.offset * hop(sample_rate) / sample_rate)
        if offset is None:
            rejected[c.a] += 1
            rejected[c.b] += 1
        else:
            groups.join(c.a, c.b, offset)
    return groups.members()


class _Groups:
    """Disjoint sets of recordings, with the relative start of each recording."""

    def __init__(self, count: int) -> None:
        self._group = list(range(count))
        self._start = [0.0] * count
        self._members = {i: [i] for i in range(count)}

    def same_group(self, a: int, b: int) -> bool:
        return self._group[a] == self._group[b]

    def join(self, a: int, b: int, offset: float) -> None:
        """Join the groups of two recordings; `b` begins `offset` seconds after `a`."""
        shift = self._start[a] + offset - self._start[b]
        kept = self._group[a]
        for i in self._members.pop(self._group[b]):
            self._group[i] = kept
            self._start[i] += shift
            self._members[kept].append(i)

    def members(self) -> list[list[Member]]:
        found = sorted(sorted(m) for m in self._members.values() if len(m) > 1)
        return [[Member(i, round(self._start[i] - self._start[m[0]], 3)) for i in m] for m in found]


def propose_pairs(fingerprints: Sequence[Fingerprint]) -> list[Candidate]:
    """Return the pairs that share hashes at the same time offset, ordered by their indices.

    The hashes are processed in passes, which limits memory to some hundreds of megabytes in addition to the
    fingerprints.
    """
    sizes = np.array([len(f.hashes) for f in fingerprints])
    if not sizes.sum():
        return []
    hashes = np.concatenate([f.hashes for f in fingerprints])
    times = np.concatenate([f.times for f in fingerprints])
    numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    bits = max(1, (len(sizes) - 1).bit_length())
    keys, votes = _count(hashes, times, numbers, bits)
    return _select(keys, votes, bits, sizes)


def propose_by_length(fingerprints: Sequence[Fingerprint], seconds: Sequence[float]) -> list[Candidate]:
    """Return pairs of recordings with very few hashes (held tones) that have equal lengths.

    A sound that does not change has no events that could be aligned. Of such recordings only copies with the same
    start can be found.
    """
    few = [i for i, f in enumerate(fingerprints) if seconds[i] > 0 and len(f.hashes) < FEW_PER_SECOND * seconds[i]]
    few.sort(key=lambda i: (seconds[i], i))
    return [
        Candidate(min(i, j), max(i, j), 0, 0.0)
        for place, i in enumerate(few)
        for j in few[place + 1 : place + 1 + LENGTH_NEIGHBOURS]
        if seconds[j] - seconds[i] <= SLACK_S
    ]


def _count(
    hashes: NDArray[np.uint32], times: NDArray[np.int32], numbers: NDArray[np.int32], bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the hashes that pairs share at each offset; a key holds the pair and the offset (:func:`_pack_key`)."""
    passes = max(1, -(-len(hashes) // ENTRIES_PER_PASS))
    part = ((hashes >> np.uint32(8)) % np.uint32(passes)).astype(np.uint16)
    found, counted = [], []
    for number in range(passes):
        order = np.nonzero(part == number)[0] if passes > 1 else np.arange(len(hashes))
        order = order[np.lexsort((numbers[order], hashes[order]))]  # stable: times stay in order
        h, t, n = hashes[order], times[order].astype(np.int64), numbers[order].astype(np.int64)
        common = _common(h)
        keys = []
        for step in range(1, NEIGHBOURS + 1):
            paired = (h[step:] == h[:-step]) & (n[step:] != n[:-step])
            i = np.nonzero(paired if step <= COMMON_NEIGHBOURS else paired & ~common[:-step])[0]
            keys.append(_pack_key(n[i], n[i + step], t[i] - t[i + step], bits))
        unique, votes = np.unique(np.concatenate(keys), return_counts=True)
        found.append(unique)
        counted.append(votes)
    if passes == 1:
        return found[0], counted[0]
    unique, place = np.unique(np.concatenate(found), return_inverse=True)
    return unique, np.bincount(place, np.concatenate(counted), len(unique)).astype(np.int64)


def _common(hashes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return a mask of the sorted hashes that occur more than :data:`COMMON` times."""
    starts = np.nonzero(np.diff(hashes, prepend=hashes[:1] + np.uint32(1)))[0]
    counts = np.diff(starts, append=len(hashes))
    return np.repeat(counts > COMMON, counts)


def _pack_key(a: NDArray[np.int64], b: NDArray[np.int64], offset: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Pack pair and offset into one integer that sorts by pair, then by offset."""
    room = 63 - 2 * bits
    return (((a << bits) | b) << room) | ((offset + (1 << (room - 1))) & ((1 << room) - 1))


def _select(keys: NDArray[np.int64], votes: NDArray[np.int64], bits: int, sizes: NDArray[np.int64]) -> list[Candidate]:
    """Return the best offsets of each pair with enough votes; votes of adjacent offsets are added."""
    room = 63 - 2 * bits
    total = votes.copy()
    adjacent = np.nonzero(np.diff(keys) == 1)[0]
    total[adjacent] += votes[adjacent + 1]
    total[adjacent + 1] += votes[adjacent]
    pairs = keys >> room
    a, b = pairs >> bits, pairs & ((1 << bits) - 1)
    share = total / np.minimum(sizes[a], sizes[b])
    good = np.nonzero((total >= MIN_VOTES) & (share >= MIN_VOTE_SHARE))[0]
    order = good[np.lexsort((-votes[good], -total[good], pairs[good]))]
    chosen: list[Candidate] = []
    offsets: list[int] = []
    for i in order.tolist():
        offset = int(keys[i] & ((1 << room) - 1)) - (1 << (room - 1))
        if not chosen or (chosen[-1].a, chosen[-1].b) != (a[i], b[i]):
            offsets = []
        if len(offsets) < OFFSETS_PER_PAIR and all(abs(offset - o) > 2 for o in offsets):
            offsets.append(offset)
            chosen.append(Candidate(int(a[i]), int(b[i]), offset, float(share[i])))
    return chosen


def matching_offset(a: Path, b: Path, offset: float) -> float | None:
    """Return the exact offset at which two recordings have the same waveform, apart from level and polarity.

    Parameters
    ----------
    a, b : Path
        Prepared recordings at the same sample rate.
    offset : float
        Start of `b` relative to the start of `a` in seconds, accurate to 60 ms.

    Returns
    -------
    float or None
        The offset in seconds, to a fraction of a sample; None if the recordings are not copies.
    """
    import soundfile

    with (
        explain_read_errors(a, b),
        soundfile.SoundFile(library_path(a)) as first,
        soundfile.SoundFile(library_path(b)) as second,
    ):
        rate = first.samplerate
        shift, slack = round(offset * rate), round(SLACK_S * rate)
        low, high = max(0, shift), min(first.frames, second.frames + shift)
        if high - low < max(MIN_OVERLAP * min(first.frames, second.frames), 0.5 * rate):
            return None
        length = min(high - low, round(EXCERPT_S * rate))
        count = min(N_EXCERPTS, (high - low) // length)
        starts = np.linspace(low, high - length, count).round().astype(int) if count > 1 else np.array([low])
        fine = max(1, -(-FINE_LAG_HZ // rate))
        excerpts, found = [], []
        for i, start in enumerate(sorted(starts.tolist(), key=lambda s: abs(s - (low + high - length) / 2))):
            pair = _read(first, start, length), _read(second, start - shift - slack, length + 2 * slack)
            excerpts.append(pair)
            found.append(_correlation(*pair, rate, fine))
            if i + 1 == FIRST_COMPARED and max(c.max() for c in found) < SAME_CORRELATION:
                return None  # rejects most false candidates early, at a third of the cost
    curves = np.stack(found)[_active(excerpts)]
    if not len(curves):
        return None
    best = int(curves.mean(0).argmax())
    near = curves[:, max(0, best - fine) : best + fine + 1].max(1)
    if np.mean(near >= SAME_CORRELATION) < SAME_SHARE:
        return None
    # The excerpt of b was read from `slack` before its expected position: a later match means a smaller offset.
    return float((shift + slack - best / fine) / rate)


def _frames(path: Path) -> int:
    import soundfile

    with explain_read_errors(path):
        return int(soundfile.info(library_path(path)).frames)


def _read(handle: Any, start: int, count: int) -> NDArray[np.float32]:
    """Read mono samples; samples outside the recording are zero."""
    found = np.zeros(count, np.float32)
    low, high = max(0, start), min(handle.frames, start + count)
    if high > low:
        handle.seek(low)
        found[low - start : high - start] = from_pcm16(handle.read(high - low, dtype="int16", always_2d=True)).mean(1)
    return found


def _active(excerpts: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> NDArray[np.bool_]:
    """Return a mask of the excerpts that are not silent in both recordings."""
    power = np.array([[float(np.square(x).mean()), float(np.square(y).mean())] for x, y in excerpts])
    return np.asarray((power > SILENT_SHARE * power.max(0)).any(1) & (power.max(0) > 0).all())


def _correlation(x: NDArray[np.float32], y: NDArray[np.float32], rate: int, fine: int) -> NDArray[np.float64]:
    """Return the absolute correlation of `x` with `y` at every lag, `fine` lags a sample.

    Both are limited to the band that encoders preserve and weighted by +6 dB per octave, because low frequencies are
    loud and would dominate the correlation.
    """
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    size = next_fast_len(len(y), real=True)
    hz = rfftfreq(size, 1 / rate)
    weight = np.where((hz >= LOW_HZ) & (hz <= min(HIGH_HZ, 0.45 * rate)), hz / HIGH_HZ, 0)
    one, two = rfft(x.astype(np.float64), size) * weight, rfft(y.astype(np.float64), size) * weight
    lags = (len(y) - len(x)) * fine + 1
    cross = irfft(np.conj(one) * two, size * fine)[:lags] * fine
    energy = np.concatenate([[0.0], np.cumsum(np.square(irfft(two, size)))])
    ends = np.arange(lags) // fine
    energy_y = np.maximum(energy[np.minimum(ends + len(x), size)] - energy[ends], 0)
    energy_x = float(np.square(irfft(one, size)).sum())
    scale = np.sqrt(energy_x * energy_y)
    result: NDArray[np.float64] = np.divide(np.abs(cross), scale, out=np.zeros(lags), where=scale > 1e-12)
    return result
