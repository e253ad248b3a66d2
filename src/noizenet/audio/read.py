"""Recordings, block by block, in constant memory.

libsndfile (through soundfile) reads wav, flac, ogg, opus, mp3 and more; what it does not know (m4a, aac,
wma) goes through the ``ffmpeg`` program where that is installed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.resample import StreamResampler
from noizenet.audio.waveform import MAX_RATE_HZ, MIN_RATE_HZ, Waveform, mix_channels
from noizenet.base.errors import AudioError, UsageError

NATIVE_SUFFIXES = frozenset(
    {
        ".wav",
        ".wave",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".au",
        ".w64",
        ".rf64",
        ".caf",
    }
)
FFMPEG_SUFFIXES = frozenset({".m4a", ".mp4", ".aac", ".wma", ".m4b", ".webm", ".mka"})
AUDIO_SUFFIXES = NATIVE_SUFFIXES | FFMPEG_SUFFIXES
BLOCK_SECONDS = 8.0


@dataclass(frozen=True)
class AudioInfo:
    """What a file says about itself; `seconds` is None where the container does not tell."""

    sample_rate: int
    channels: int
    seconds: float | None
    artist: str
    title: str


class AudioReader:
    """An open recording.

    Parameters
    ----------
    path : Path or str
        The file.

    Raises
    ------
    AudioError
        If the file is missing, empty, or not sound that can be decoded; the message names it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file: Any = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        _check_readable(self.path)
        self.info = self._open()
        if not (MIN_RATE_HZ <= self.info.sample_rate <= MAX_RATE_HZ and self.info.channels >= 1):
            self.close()
            raise AudioError(
                f"{self.path}: claims {self.info.sample_rate} Hz and {self.info.channels} channels; "
                "the header is damaged, export the recording again"
            )

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and, where one runs, the decoder process."""
        if self._file is not None:
            self._file.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        if self._stderr is not None:
            self._stderr.close()

    def blocks(self, block_seconds: float = BLOCK_SECONDS) -> Iterator[NDArray[np.float32]]:
        """Yield the samples as float32 [n, C] blocks at the file's own rate.

        Raises
        ------
        AudioError
            At the first block that cannot be decoded or is not finite; blocks before it were good.
        """
        size = max(1, int(block_seconds * self.info.sample_rate))
        done = 0
        source = self._file_blocks(size) if self._file is not None else self._ffmpeg_blocks(size)
        for block in source:
            if not np.isfinite(block).all():
                at_s = done / self.info.sample_rate
                raise AudioError(f"{self.path}: NaN or infinite samples from {at_s:.1f} s on; export it again")
            done += len(block)
            yield block

    def _open(self) -> AudioInfo:
        import soundfile

        if self.path.suffix.lower() not in FFMPEG_SUFFIXES:
            try:
                self._file = soundfile.SoundFile(str(self.path))
            except (soundfile.SoundFileError, RuntimeError, TypeError, OSError) as error:
                if not shutil.which("ffmpeg"):
                    raise AudioError(
                        f"{self.path}: not a readable recording ({_reason(error)}); convert it to wav, flac, ogg or mp3"
                    ) from error
        if self._file is None:
            return self._open_ffmpeg()
        tags = self._file.copy_metadata()
        return AudioInfo(
            sample_rate=int(self._file.samplerate),
            channels=int(self._file.channels),
            seconds=self._file.frames / self._file.samplerate if self._file.frames < 2**62 else None,
            artist=str(tags.get("artist", "")).strip(),
            title=str(tags.get("title", "")).strip(),
        )

    def _file_blocks(self, size: int) -> Iterator[NDArray[np.float32]]:
        import soundfile

        declared = int(self._file.frames)
        done = 0
        while True:
            try:
                block = self._file.read(size, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError) as error:
                at_s = done / self.info.sample_rate
                raise AudioError(f"{self.path}: damaged after {at_s:.1f} s ({_reason(error)})") from error
            if len(block) == 0:
                break
            done += len(block)
            yield block
        # Lossy containers round their length to a packet or two; more than that is a cut file.
        if declared < 2**62 and declared - done > max(8192, 0.001 * declared):
            raise AudioError(
                f"{self.path}: damaged after {done / self.info.sample_rate:.1f} s "
                f"(the file promises {declared / self.info.sample_rate:.1f} s)"
            )

    def _open_ffmpeg(self) -> AudioInfo:
        if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
            raise AudioError(
                f"{self.path}: {self.path.suffix} needs the ffmpeg program, which is not installed; "
                "install ffmpeg or convert the file to wav, flac, ogg or mp3"
            )
        command = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-of", "json", "-show_entries"]
        command += [
            "stream=sample_rate,channels:format=duration:format_tags=artist,title",
            f"file:{self.path}",
        ]
        probe = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
            found = json.loads(probe.stdout)
            stream, form = found["streams"][0], found.get("format", {})
            tags = {k.lower(): v for k, v in form.get("tags", {}).items()}
            return AudioInfo(
                sample_rate=int(stream["sample_rate"]),
                channels=int(stream["channels"]),
                seconds=float(form["duration"]) if form.get("duration") not in (None, "N/A") else None,
                artist=str(tags.get("artist", "")).strip(),
                title=str(tags.get("title", "")).strip(),
            )
        raise AudioError(f"{self.path}: not a readable recording; convert it to wav, flac, ogg or mp3")

    def _ffmpeg_blocks(self, size: int) -> Iterator[NDArray[np.float32]]:
        channels = self.info.channels
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-i",
            f"file:{self.path}",
            "-map",
            "a:0",
            "-f",
            "f32le",
            "-",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._stderr)
        assert self._process.stdout is not None
        done = 0
        while data := self._process.stdout.read(size * channels * 4):
            block = np.frombuffer(data[: len(data) // (4 * channels) * 4 * channels], "<f4")
            done += len(block) // channels
            yield block.reshape(-1, channels).astype(np.float32)
        if self._process.wait() != 0:
            self._stderr.seek(0)
            reason = self._stderr.read(300).decode("utf-8", "replace").strip().splitlines()
            raise AudioError(
                f"{self.path}: damaged after {done / self.info.sample_rate:.1f} s "
                f"({reason[-1] if reason else 'ffmpeg failed'})"
            )


def converted_blocks(
    reader: AudioReader, sample_rate: int, channels: int, block_seconds: float = BLOCK_SECONDS
) -> Iterator[NDArray[np.float32]]:
    """Yield a reader's sound at another rate and channel count, float32 [n, channels], block by block.

    Where the file is damaged in the middle, everything before the damage is yielded before the error is raised.
    """
    resampler = StreamResampler(reader.info.sample_rate, sample_rate, channels)
    problem: AudioError | None = None
    blocks = reader.blocks(block_seconds)
    while True:
        try:
            block = next(blocks)
        except StopIteration:
            break
        except AudioError as error:
            problem = error
            break
        out = resampler.push(mix_channels(block, channels))
        if len(out):
            yield out
    out = resampler.finish()
    if len(out):
        yield out
    if problem is not None:
        raise problem


def read(path: Path | str, *, sample_rate: int | None = None, channels: int | None = None) -> Waveform:
    """Read a whole recording.

    Parameters
    ----------
    path : Path or str
        The file.
    sample_rate : int, optional
        Hz to convert to; the file's own by default.
    channels : int, optional
        1 or 2; the file's own by default.

    Returns
    -------
    Waveform
        Shape [N] where the result is mono, else [N, C].

    Raises
    ------
    AudioError
        If the file cannot be read or holds no sound.
    """
    with AudioReader(path) as reader:
        rate = sample_rate or reader.info.sample_rate
        count = channels or reader.info.channels
        blocks = list(converted_blocks(reader, rate, count))
    if not blocks:
        raise AudioError(f"{path}: holds no sound (zero length)")
    samples = np.concatenate(blocks)
    return Waveform(samples[:, 0] if count == 1 else samples, rate)


def _check_readable(path: Path) -> None:
    try:
        if not path.exists():
            raise AudioError(f"{path}: no such file; check the name")
        if path.is_dir():
            raise UsageError(f"{path}: is a folder, expected one recording")
        with path.open("rb") as handle:
            if not handle.read(1):
                raise AudioError(f"{path}: the file is empty; copy or download it again")
    except OSError as error:
        raise AudioError(f"{str(path)[:200]}: cannot be opened ({error.strerror}); check its rights") from error


def _reason(error: BaseException) -> str:
    text = str(error).strip().rstrip(".")
    return text.split(": ")[-1] if text else type(error).__name__
