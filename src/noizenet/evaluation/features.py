"""Features of a recording for the metrics, for each segment of three seconds, in constant memory.

Every recording is resampled to 16 kHz mono, so that no metric depends on the sample rate. Each segment gives the
tagger's embedding (if requested), a handcrafted embedding of librosa features, which needs no download, and chroma and
mel for the detection of copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from noizenet.evaluation.tagger import HOP, MELS, RATE_HZ, Tagger, log_mel

SEGMENT = 187 * HOP
"""Samples of a segment at 16 kHz: 187 frames, about three seconds."""

BATCH = 8
COLUMN_FRAMES = 8
"""Log-mel frames in one column of chroma and mel: eight of 16 ms."""

MEL_BANDS = 24
CHROMA = 12
SILENCE_RMS = 1e-4
"""RMS below which a segment is silent (-80 dB)."""

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Features of one recording of N segments that are not silent.

    Attributes
    ----------
    name, genre : str
    crafted : float32 [N, 64]
        Handcrafted embedding: means and standard deviations of MFCCs, chroma and spectral shape.
    tagged : float32 [N, 200]
        The tagger's embedding; [0, 200] if it was not requested.
    chroma_mel : float32 [T, 36]
        Chroma and mel, each of unit norm in every column; eight columns a second.
    onsets : float32 [T']
        Onset strength, 62.5 a second.
    level, centroid : float32 [N]
        Level in dB and spectral centroid in Hz.
    silent : int
        Number of silent segments, which are left out.
    """

    name: str
    genre: str
    crafted: F32
    tagged: F32
    chroma_mel: F32
    onsets: F32
    level: F32
    centroid: F32
    silent: int


def extract_features(name: str, genre: str, blocks: Iterable[F32], rate: int, tagger: Tagger | None) -> Features:
    """Extract the features of a recording.

    Parameters
    ----------
    name, genre : str
    blocks : iterable of float32 [n]
        Mono samples.
    rate : int
        Sample rate of the blocks in Hz.
    tagger : Tagger, optional
        Computes `tagged`.
    """
    crafted, chroma_mel, onsets, level, centroid = [], [], [], [], []
    pending: list[F32] = []
    tagged: list[F32] = []
    silent = 0
    for segment in _segments(blocks, rate):
        rms = float(np.sqrt(np.mean(np.square(segment))))
        mel = log_mel(segment)[: SEGMENT // HOP]
        numbers, hz, columns, strength = _handcraft(segment, mel)
        chroma_mel.append(columns)
        onsets.append(strength)
        if rms < SILENCE_RMS:
            silent += 1
            continue
        crafted.append(numbers)
        level.append(20 * np.log10(rms))
        centroid.append(hz)
        if tagger is not None:
            pending.append(mel)
            if len(pending) == BATCH:
                tagged.append(_embed(tagger, pending))
                pending = []
    if tagger is not None and pending:
        tagged.append(_embed(tagger, pending))
    return Features(
        name, genre, _stack(crafted, 2 * (20 + 6) + CHROMA), np.concatenate([np.zeros((0, 200), np.float32), *tagged]),
        np.concatenate([np.zeros((0, CHROMA + MEL_BANDS), np.float32), *chroma_mel]),
        np.concatenate([np.zeros(0, np.float32), *onsets]), np.asarray(level, np.float32),
        np.asarray(centroid, np.float32), silent,
    )  # fmt: skip


def _stack(rows: list[F32], width: int) -> F32:
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, width), np.float32)


def _segments(blocks: Iterable[F32], rate: int) -> Iterator[F32]:
    """Yield whole segments at 16 kHz; an incomplete last segment is dropped."""
    resampler = soxr.ResampleStream(rate, RATE_HZ, 1, dtype="float32")
    buffer = np.zeros(0, np.float32)
    for block in blocks:
        buffer = np.concatenate([buffer, resampler.resample_chunk(np.ascontiguousarray(block, np.float32))])
        while len(buffer) >= SEGMENT:
            yield buffer[:SEGMENT]
            buffer = buffer[SEGMENT:]
    buffer = np.concatenate([buffer, resampler.resample_chunk(np.zeros(0, np.float32), last=True)])
    if len(buffer) >= SEGMENT:
        yield buffer[:SEGMENT]


def _embed(tagger: Tagger, patches: list[F32]) -> F32:
    import torch

    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        hidden, _ = tagger(torch.from_numpy(np.stack(patches)))
    found: F32 = hidden.float().numpy()
    return found


def _handcraft(samples: F32, mel: F32) -> tuple[F32, float, F32, F32]:
    """Return a segment's handcrafted embedding, centroid in Hz, chroma and mel, and onset strength."""
    from noizenet.kernels.cache import load_librosa

    librosa = load_librosa()

    spectrum = np.abs(librosa.stft(samples, n_fft=2048, hop_length=2 * HOP))[:, :-1]
    power = np.square(spectrum)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=RATE_HZ)), n_mfcc=20)
    chroma = librosa.feature.chroma_stft(S=power, sr=RATE_HZ, n_fft=2048, tuning=0.0)
    shape = [
        librosa.feature.spectral_centroid(S=spectrum, sr=RATE_HZ)[0] / 1000,
        librosa.feature.spectral_bandwidth(S=spectrum, sr=RATE_HZ)[0] / 1000,
        librosa.feature.spectral_rolloff(S=spectrum, sr=RATE_HZ)[0] / 1000,
        np.log10(librosa.feature.spectral_flatness(S=spectrum)[0] + 1e-6),
        np.log10(librosa.feature.rms(S=spectrum, frame_length=2048)[0] + 1e-6),
    ]
    rise = np.maximum(np.diff(mel, axis=0, prepend=mel[:1]), 0).mean(1).astype(np.float32)
    frames = spectrum.shape[1]
    onset = rise[: 2 * frames].reshape(-1, 2).mean(1) if len(rise) >= 2 * frames else np.resize(rise, frames)
    rows = np.concatenate([mfcc / 20, np.stack([*shape, 10 * onset[:frames]])])
    numbers = np.concatenate([rows.mean(1), rows.std(1), chroma.mean(1)]).astype(np.float32)
    columns = len(mel) // COLUMN_FRAMES
    bands = mel[: columns * COLUMN_FRAMES].reshape(columns, COLUMN_FRAMES, MEL_BANDS, MELS // MEL_BANDS).mean((1, 3))
    pitches = np.stack([part.mean(1) for part in np.array_split(chroma, columns, axis=1)])
    chroma_mel = np.concatenate(
        [_unit(pitches - pitches.mean(1, keepdims=True)), _unit(bands - bands.mean(1, keepdims=True))], 1
    )
    hz = float((spectrum.mean(1) * np.linspace(0, RATE_HZ / 2, len(spectrum))).sum() / (spectrum.mean(1).sum() + 1e-12))
    return numbers, hz, chroma_mel.astype(np.float32), rise


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    unit: NDArray[Any] = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)
    return unit
