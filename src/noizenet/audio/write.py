"""Audio output: to a file, written atomically, or as raw PCM to a pipe."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from noizenet.audio.waveform import Waveform
from noizenet.base.arguments import a_path, shortened
from noizenet.base.errors import AudioError, NoizenetError, UsageError
from noizenet.base.files import check_replaceable, explain_failed_write, explain_os_error, temporary_name
from noizenet.base.names import library_path

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
RIFF_LIMIT_BYTES = 2**32 - 2**16
MAX_WRITE = {"OGG": 1 << 14}  # frames per write: the stack use of libsndfile's Vorbis encoder grows with it


def to_pcm16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Quantise to 16 bits with a step of 1/32768, as libsndfile reads them."""
    return np.asarray(np.clip(np.rint(samples * np.float32(32768.0)), -32768, 32767), np.int16)


def from_pcm16(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Convert 16-bit samples to float32 in [-1, 1)."""
    return samples.astype(np.float32) * np.float32(1 / 32768.0)


class AudioWriter:
    """Write blocks to ``.wav``, ``.flac`` or ``.ogg``; the file gets its name when it is complete.

    Parameters
    ----------
    path : Path or str
        Output file; its suffix selects the format.
    sample_rate : int
        Hz.
    channels : int
        Columns of each block.
    expected_frames : int, optional
        If more are expected than a plain WAV can hold, RF64 is written instead.

    Attributes
    ----------
    frames : int
        Frames written so far.
    clipped : int
        Samples beyond full scale, which were clipped.

    Raises
    ------
    UsageError
        For an unknown suffix.
    DiskFullError
        If the disk is full; no partial file remains.
    """

    def __init__(self, path: Path | str, sample_rate: int, channels: int = 1, expected_frames: int = 0) -> None:
        import soundfile

        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in FORMATS:
            known = ", ".join(FORMATS)
            raise UsageError(f"{self.path}: cannot write {suffix or 'a file without suffix'}; use {known}")
        kind, subtype = FORMATS[suffix]
        if kind == "WAV" and expected_frames * channels * 2 > RIFF_LIMIT_BYTES:
            kind = "RF64"
        if not self.path.parent.is_dir():
            raise UsageError(f"{self.path.parent}: no such folder; create it first")
        check_replaceable(self.path)
        self.frames = 0
        self.clipped = 0
        self._max_write = MAX_WRITE.get(kind, 1 << 30)
        self._temporary = temporary_name(self.path)
        try:
            self._file: Any = soundfile.SoundFile(
                library_path(self._temporary),
                "w",
                samplerate=sample_rate,
                channels=channels,
                format=kind,
                subtype=subtype,
            )
        except (soundfile.SoundFileError, RuntimeError) as error:
            reason = self._explain(error)
            self._remove()
            raise reason from error
        except KeyboardInterrupt:  # the caller has no writer to close yet
            self._remove()
            raise

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def write(self, block: NDArray[np.float32]) -> None:
        """Append [n] or [n, C] samples; samples beyond full scale are clipped and counted."""
        import soundfile

        if block.size and max(block.max(), -block.min()) > 1.0:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1.0))
        # Quantised here, because libsndfile rounds differently between formats.
        pcm = to_pcm16(block)
        try:
            for start in range(0, len(pcm), self._max_write):
                self._file.write(pcm[start : start + self._max_write])
        except (soundfile.SoundFileError, RuntimeError, AssertionError) as error:
            reason = self._explain(error)  # before the partial file is removed, which would free space
            self.abort()
            raise reason from error
        self.frames += len(pcm)

    def commit(self, *, durable: bool = True) -> None:
        """Finish the file, check its length, and rename it to its final name.

        Parameters
        ----------
        durable : bool
            Wait until the data is on the disk. A cache that is checked before use need not wait.
        """
        import soundfile

        try:
            self._file.close()
            # libsndfile does not report a failed flush: compare the length.
            if self.frames and soundfile.info(library_path(self._temporary)).frames != self.frames:
                raise AudioError(f"{self.path}: the file is shorter than the audio that was written")
            if durable:
                with self._temporary.open("rb+") as handle:
                    os.fsync(handle.fileno())
            self._temporary.replace(self.path)
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        except (soundfile.SoundFileError, RuntimeError, AudioError) as error:
            raise self._explain(error) from error
        finally:
            self._remove()

    def abort(self) -> None:
        """Remove the partial file; no effect after :meth:`commit`."""
        with contextlib.suppress(Exception):
            self._file.close()
        self._remove()

    def _remove(self) -> None:
        """Remove the partial file; a failure is ignored, since the error that led here is reported."""
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _explain(self, error: BaseException) -> NoizenetError:
        """Return why writing failed; the partial file must still exist (see :func:`explain_failed_write`)."""
        reason = AudioError(f"{self.path}: cannot be written ({str(error) or type(error).__name__})")
        return explain_failed_write(self._temporary, self.path, reason)


def write(path: Path | str, waveform: Waveform) -> int:
    """Write a waveform; return the number of samples that were clipped to full scale."""
    path = a_path(path, "path")
    if not isinstance(waveform, Waveform):
        raise UsageError(f"waveform: {shortened(waveform)} is not a noizenet.Waveform")
    with AudioWriter(path, waveform.sample_rate, waveform.channels, len(waveform)) as writer:
        writer.write(waveform.samples)
    return writer.clipped


def pcm_bytes(block: Waveform) -> bytes:
    """Return a block as 16-bit little-endian PCM, channels interleaved."""
    return to_pcm16(block.samples).astype("<i2").tobytes()


def write_pcm(stream: IO[bytes], blocks: Iterable[Waveform]) -> int:
    """Write blocks as 16-bit little-endian PCM to a byte stream; return the number of frames.

    If the reader closes the pipe, writing ends without an error: that is how ``| head`` and players stop.
    """
    frames = 0
    try:
        for block in blocks:
            stream.write(pcm_bytes(block))
            stream.flush()
            frames += len(block)
    except BrokenPipeError:
        # Redirect the descriptor; otherwise the interpreter reports the error again when it flushes at exit.
        with open(os.devnull, "wb") as null:  # noqa: PTH123
            os.dup2(null.fileno(), stream.fileno())
    return frames
