"""Audio files of many formats for tests, written by PyAV's encoders, and a reference decoder (ffmpeg)."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RATE = 44_100

KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    # name: (FFmpeg's muxer, encoder, options)
    "wav": ("wav", "pcm_s16le", {}),
    "wav24": ("wav", "pcm_s24le", {}),
    "wavf": ("wav", "pcm_f32le", {}),
    "w64": ("w64", "pcm_s16le", {}),
    "aiff": ("aiff", "pcm_s16be", {}),
    "aifc": ("aiff", "pcm_s16le", {}),
    "au": ("au", "pcm_s16be", {}),
    "caf": ("caf", "pcm_s16be", {}),
    "flac": ("flac", "flac", {}),
    "mp3": ("mp3", "libmp3lame", {"b": "128k"}),
    "mp2": ("mp2", "mp2", {"b": "192k"}),
    "ogg": ("ogg", "libvorbis", {}),
    "opus": ("ogg", "libopus", {}),
    "oggflac": ("ogg", "flac", {}),
    "m4a": ("ipod", "aac", {"movflags": "faststart"}),
    "alac": ("ipod", "alac", {"movflags": "faststart"}),
    "aac": ("adts", "aac", {}),
    "webm": ("webm", "libopus", {}),
    "mka": ("matroska", "flac", {}),
    "wma": ("asf", "wmav2", {"b": "128k"}),
    "wv": ("wv", "wavpack", {}),
    "tta": ("tta", "tta", {}),
    "ac3": ("ac3", "ac3", {}),
    "eac3": ("eac3", "eac3", {}),
}
LOSSLESS = frozenset(
    {"wav", "wav24", "wavf", "w64", "aiff", "aifc", "au", "caf", "flac", "oggflac", "alac", "wv", "tta", "mka"}
)
NO_PROMISE = frozenset({"mp2", "aac", "ac3", "eac3", "ogg", "opus", "oggflac"})


@lru_cache(maxsize=8)
def music(seconds: float, rate: int = RATE, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Return a signal that does not repeat: gliding tones and noise, float32 [n, channels], peak 0.5."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    columns = []
    for c in range(channels):
        tone = np.sin(2 * np.pi * (200 * (1 + c) + 40 * t) * t) * (0.6 + 0.4 * np.sin(2 * np.pi * (0.7 + c) * t))
        noise = np.convolve(rng.standard_normal(len(t)), np.ones(8) / 8, "same")
        columns.append(tone + 0.4 * noise)
    x = np.stack(columns, axis=1)
    return (0.5 * x / np.abs(x).max()).astype(np.float32)


def encode(
    path: Path, samples: np.ndarray, kind: str, rate: int = RATE, layout: str = "", tags: dict[str, str] | None = None,
    **options: str,
) -> Path:  # fmt: skip
    """Write samples [n, C] as one of KINDS; skip the test if this PyAV has no encoder for it."""
    import av

    muxer, codec, defaults = KINDS[kind]
    if codec == "libvorbis":  # PyAV has no encoder for it, libsndfile has
        return _vorbis(path, samples, rate, tags or {})
    name = layout or {1: "mono", 2: "stereo"}[samples.shape[1]]
    input_rate = rate
    if codec == "libopus" and rate not in (48_000, 24_000, 16_000, 12_000, 8_000):
        rate = 48_000
    try:
        container: Any = av.open(str(path), "w", format=muxer, options={**defaults, **options})
        stream = container.add_stream(codec, rate=rate, layout=name, options={**defaults, **options})
        if codec in ("wavpack", "tta"):
            stream.codec_context.format = "s16" if codec == "tta" else "s16p"  # their default is 8 bits
    except (ValueError, av.error.FFmpegError) as error:
        pytest.skip(f"no encoder for {kind}: {error}")
    container.metadata.update(tags or {})
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=name)
    frame.sample_rate = input_rate
    with container:
        fifo = av.AudioFifo()
        resampler = av.AudioResampler(stream.codec_context.format, name, rate)
        for part in resampler.resample(frame) + resampler.resample(None):
            part.pts = None
            fifo.write(part)
        size = stream.codec_context.frame_size or 4096
        written = 0
        while (part := fifo.read(size) or fifo.read(size, partial=True)) is not None:
            part.pts, part.time_base = written, Fraction(1, rate)
            written += part.samples
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def encode_all(folder: Path, samples: np.ndarray, tags: dict[str, str] | None = None) -> dict[str, Path]:
    """Write samples [n, C] as each of KINDS that this PyAV can write.

    All suffixes are ``.wav``, because the reader goes by the content.
    """
    made = {}
    for kind in KINDS:
        with contextlib.suppress(pytest.skip.Exception):
            made[kind] = encode(folder / f"{kind}.wav", samples, kind, tags=tags)
    return made


def _vorbis(path: Path, samples: np.ndarray, rate: int, tags: dict[str, str]) -> Path:
    import soundfile

    with soundfile.SoundFile(path, "w", rate, samples.shape[1], subtype="VORBIS", format="OGG") as file:
        for key, value in tags.items():
            setattr(file, key, value)
        for at in range(0, len(samples), 4096):  # libsndfile crashes on large blocks
            file.write(samples[at : at + 4096])
    return path


def ffmpeg_decodes(path: Path, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """Return the samples that ffmpeg decodes, float32 [n, channels]; skip the test if ffmpeg is not installed."""
    if not shutil.which("ffmpeg"):
        pytest.skip("needs the ffmpeg program")
    command = ["ffmpeg", "-v", "quiet", "-i", path, "-f", "f32le", "-ar", str(rate), "-ac", str(channels), "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, "<f4").reshape(-1, channels)


def shift_between(part: np.ndarray, whole: np.ndarray, near: int, reach: int) -> int:
    """Return the position of `part` [n] in `whole` [N], searched within `reach` samples of `near`, by correlation."""
    low = max(0, near - reach)
    window = whole[low : near + reach + len(part)]
    size = 1 << (len(window) + len(part)).bit_length()
    product = np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(part, size)), size)
    return low + int(np.argmax(product[: max(1, len(window) - len(part) + 1)]))
