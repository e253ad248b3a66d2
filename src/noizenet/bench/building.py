"""Corpus building compared with a bare decoding loop."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import mix_channels
from noizenet.bench.figure import Measurement, time_alternately
from noizenet.corpus.build import build
from noizenet.corpus.synth.song import render
from noizenet.corpus.synth.styles import STYLES

RATE, SONGS, SONG_S = 44_100, 24, 90.0
Mix = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def measure(audio: Path | None, rounds: int) -> list[Measurement]:
    """Measure building on a folder of recordings, or on procedural songs as stereo Ogg Vorbis.

    The bare loop reads with soundfile, mixes to mono with NumPy's mean (as librosa does) and resamples with soxr, in
    one process, and stores nothing. Building also measures levels, hashes and writes. In the last figure the bare loop
    uses noizenet's mixing, which is several times faster.
    """
    with tempfile.TemporaryDirectory(prefix="noizenet-bench-") as temporary:
        work = Path(temporary)
        source = audio or _songs(work / "songs")
        files = sorted(p for p in source.rglob("*") if p.suffix in (".ogg", ".opus", ".mp3", ".flac", ".wav"))

        def ours(workers: int) -> None:
            shutil.rmtree(work / "corpus", ignore_errors=True)
            build(source, work / "corpus", layout="folders", workers=workers)

        def bare(mean: Mix) -> None:
            for path in files:
                _bare(path, mean)

        ours(2)  # starts the worker processes, fills the page cache
        one, loop, single = time_alternately(lambda: ours(1), lambda: bare(_numpy_mean), rounds)
        two, _, double = time_alternately(lambda: ours(2), lambda: bare(_numpy_mean), rounds)
        _, lean, leaner = time_alternately(lambda: ours(1), lambda: bare(_our_mean), rounds)
    detail = f"{len(files)} files; bare {loop:.1f} s, 1 worker {one:.1f} s, 2 workers {two:.1f} s"
    return [
        Measurement("building, one process ÷ bare soundfile + soxr loop", single, "×", 0.9, detail=detail),
        Measurement("building, two processes ÷ bare loop", double, "×", 1.7, detail=detail),
        Measurement(
            "building, one process ÷ bare loop with our faster mixing", leaner, "×", detail=f"bare {lean:.1f} s"
        ),
    ]


def _numpy_mean(block: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(block.mean(axis=1, dtype=np.float32), np.float32)


def _our_mean(block: NDArray[np.float32]) -> NDArray[np.float32]:
    return mix_channels(block, 1)[:, 0]


def _bare(path: Path, mean: Mix) -> None:
    import soundfile
    import soxr

    with soundfile.SoundFile(str(path)) as handle:
        resampler = soxr.ResampleStream(handle.samplerate, 22_050, 1, dtype="float32", quality="HQ")
        while len(block := handle.read(8 * handle.samplerate, dtype="float32", always_2d=True)):
            resampler.resample_chunk(mean(block))
        resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _songs(folder: Path) -> Path:
    from noizenet.audio.write import AudioWriter

    for i in range(SONGS):
        style = sorted(STYLES)[i % len(STYLES)]
        (folder / style).mkdir(parents=True, exist_ok=True)
        with AudioWriter(folder / style / f"{i}.ogg", RATE, 2) as writer:
            for block in render(style, i, SONG_S, RATE):
                writer.write(np.stack([block, 0.9 * block], axis=1))
    return folder
