"""Recordings in every format, made by code: soundfile and PyAV write them, nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 6: "5.1", 8: "7.1"}
CD_RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)
LOW_CHANNELS, ALL_CHANNELS = (1, 2), (1, 2, 3, 6, 8)


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Parameters
    ----------
    name, suffix : str
    writer : str
        ``soundfile`` or ``av``.
    container, codec : str
        In the writer's words.
    lossless : bool
    rates, channels : tuple of int
        What the codec can hold, of those that are tried.
    bit_rate : int
        Bits a second; 0 is the codec's own.
    """

    name: str
    suffix: str
    writer: str
    container: str
    codec: str
    lossless: bool = True
    rates: tuple[int, ...] = CD_RATES
    channels: tuple[int, ...] = ALL_CHANNELS
    bit_rate: int = 0


OPUS_RATES = (8_000, 16_000, 48_000)
MP3_RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000)
FORMATS = {
    f.name: f
    for f in (
        Format("wav-16", ".wav", "soundfile", "WAV", "PCM_16"),
        Format("wav-24", ".wav", "soundfile", "WAVEX", "PCM_24"),
        Format("wav-float", ".wav", "soundfile", "WAV", "FLOAT"),
        Format("wav-8", ".wav", "soundfile", "WAV", "PCM_U8", lossless=False),
        Format("wav-adpcm", ".wav", "av", "wav", "adpcm_ima_wav", lossless=False, channels=LOW_CHANNELS),
        Format("rf64", ".rf64", "soundfile", "RF64", "PCM_16"),
        Format("w64", ".w64", "soundfile", "W64", "PCM_16"),
        Format("aiff", ".aiff", "soundfile", "AIFF", "PCM_16", channels=LOW_CHANNELS),
        Format("aifc", ".aifc", "soundfile", "AIFF", "FLOAT", channels=LOW_CHANNELS),
        Format("au", ".au", "soundfile", "AU", "PCM_24", channels=LOW_CHANNELS),
        Format("caf", ".caf", "soundfile", "CAF", "PCM_16", channels=LOW_CHANNELS),
        Format("flac", ".flac", "soundfile", "FLAC", "PCM_16"),
        Format("ogg-vorbis", ".ogg", "soundfile", "OGG", "VORBIS", lossless=False),
        Format("opus", ".opus", "soundfile", "OGG", "OPUS", lossless=False, rates=OPUS_RATES),
        Format("ogg-flac", ".oga", "av", "ogg", "flac"),
        Format("mp3-cbr", ".mp3", "av", "mp3", "libmp3lame", False, MP3_RATES, LOW_CHANNELS, 128_000),
        Format("mp3-vbr", ".mp3", "soundfile", "MP3", "MPEG_LAYER_III", False, MP3_RATES, LOW_CHANNELS),
        Format("m4a-aac", ".m4a", "av", "ipod", "aac", lossless=False),
        Format("m4a-alac", ".m4a", "av", "ipod", "alac"),
        Format("aac-adts", ".aac", "av", "adts", "aac", lossless=False),
        Format("webm", ".webm", "av", "webm", "libopus", lossless=False, rates=OPUS_RATES),
        Format("mka", ".mka", "av", "matroska", "flac"),
        Format("wma", ".wma", "av", "asf", "wmav2", False, (16_000, 22_050, 44_100, 48_000), LOW_CHANNELS, 128_000),
        Format("wavpack", ".wv", "av", "wv", "wavpack"),
        Format("tta", ".tta", "av", "tta", "tta"),
        Format("mp2", ".mp2", "av", "mp2", "mp2", False, (16_000, 22_050, 32_000, 44_100, 48_000), LOW_CHANNELS),
        Format("ac3", ".ac3", "av", "ac3", "ac3", False, (32_000, 44_100, 48_000)),
    )
}
FUZZED = tuple(n for n in FORMATS if n not in ("wav-8", "rf64"))


def music(seconds: float, rate: int, channels: int, seed: int = 0) -> NDArray[np.float32]:
    """Return sound in which every channel differs, float32 [n, channels]: three tones that come and go, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    out = np.empty((len(t), channels), np.float32)
    for c in range(channels):
        wave = 0.02 * rng.standard_normal(len(t))
        # The low-frequency channel of a surround layout keeps only what is low: codecs filter the rest away.
        tones = (50.0, 70.0, 90.0) if channels in (6, 8) and c == 3 else rng.uniform(150.0, min(2_500.0, rate / 4), 3)
        if channels in (6, 8) and c == 3:
            wave *= 0
        for hz in tones:
            wave += 0.1 * np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) * (0.6 + 0.4 * np.sin(2 * np.pi * (c + 1) * t))
        out[:, c] = wave
    return out


def write(path: Path, kind: Format, samples: NDArray[np.float32], rate: int) -> None:
    """Write float32 [n, channels] in `kind`."""
    (_write_soundfile if kind.writer == "soundfile" else _write_av)(path, kind, samples, rate)


def _write_soundfile(path: Path, kind: Format, samples: NDArray[np.float32], rate: int) -> None:
    import soundfile

    extra = {"bitrate_mode": "VARIABLE"} if kind.name == "mp3-vbr" else {}
    with soundfile.SoundFile(
        path, "w", rate, samples.shape[1], format=kind.container, subtype=kind.codec, **extra
    ) as out:
        for start in range(0, len(samples), 4096):  # libsndfile's Vorbis writer overflows its stack on long writes
            out.write(samples[start : start + 4096])


def _write_av(path: Path, kind: Format, samples: NDArray[np.float32], rate: int) -> None:
    import av

    with av.open(str(path), "w", format=kind.container) as out:
        stream = out.add_stream(kind.codec, rate=rate)
        stream.layout = LAYOUTS[samples.shape[1]]
        codec = stream.codec_context.codec
        formats = [f.name for f in codec.audio_formats or ()]
        stream.format = next((f for f in ("s16", "s16p", "flt", "fltp") if f in formats), formats[0])
        if kind.bit_rate:
            stream.bit_rate = kind.bit_rate
        resampler = av.AudioResampler(stream.format, stream.layout, rate)
        for start in range(0, len(samples), 4096):
            part = np.ascontiguousarray(samples[start : start + 4096]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, format="flt", layout=stream.layout)
            frame.sample_rate, frame.pts = rate, start
            for converted in resampler.resample(frame):
                out.mux(stream.encode(converted))
        out.mux(stream.encode(None))


def good_files(seconds: float = 2.0, rate: int = 44_100) -> dict[str, bytes]:
    """Return one good file of each format that is mutated, by name."""
    import tempfile

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for k, name in enumerate(FUZZED):
            kind = FORMATS[name]
            fits = rate if rate in kind.rates else 48_000
            path = Path(folder) / f"good{kind.suffix}"
            write(path, kind, music(seconds, fits, 2, k), fits)
            found[name] = path.read_bytes()
    return found
