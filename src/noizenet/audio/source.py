"""The bytes of one regular file, or of a section of it, as a file object for decoders."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from pathlib import Path
from types import TracebackType

from noizenet.base.errors import AudioError, NoSuchRecordingError, UsageError

STALL_S = 20.0
"""A decoder that reads for longer than this without output is stopped."""


class StalledError(Exception):
    """A decoder kept reading without output."""


class Source:
    """A regular file, opened read-only and without blocking.

    Parameters
    ----------
    path : Path

    Raises
    ------
    AudioError
        If the file is missing, empty, not a regular file (a FIFO or a device would block), or not readable.
    UsageError
        If it is a folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = _open_regular(path)
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self.size = os.fstat(descriptor).st_size

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def peek(self, at: int, count: int) -> bytes:
        """Return up to `count` bytes from an offset; none outside the file."""
        if not 0 <= at < self.size:  # offsets from damaged headers can be anything
            return b""
        try:
            self._file.seek(at)
            parts = []
            while count > 0 and (part := self._file.read(count)):
                parts.append(part)
                count -= len(part)
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be read ({error.strerror}); check the disk") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def section(self, start: int = 0, stop: int | None = None) -> Section:
        """Return a part of the file as a separate file object."""
        return Section(self, start, self.size if stop is None else min(stop, self.size))


class Section(io.RawIOBase):
    """Bytes `start` to `stop` of a source, as a readable and seekable file object without a name.

    A decoder that receives one can open nothing else. :meth:`progress` is called for every decoded block; a decoder
    without output for STALL_S seconds is stopped by :class:`StalledError`.
    """

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self.source, self.start, self.size = source, start, stop - start
        self._at = 0
        self._since = time.monotonic()

    def peek(self, at: int, count: int) -> bytes:
        """Return up to `count` bytes from an offset, without a change of position."""
        return self.source.peek(self.start + at, max(0, min(count, self.size - at)))

    def progress(self) -> None:
        """Reset the stall timer."""
        self._since = time.monotonic()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Change the position; see :meth:`io.IOBase.seek`."""
        base = (0, self._at, self.size)[whence & 3]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes."""
        if time.monotonic() - self._since > STALL_S:
            raise StalledError
        left = max(0, self.size - self._at)
        data = self.source.peek(self.start + self._at, left if size is None or size < 0 else min(size, left))
        self._at += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer; return the number of bytes that were read."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _open_regular(path: Path) -> int:
    try:
        # Opening a FIFO blocks until there is a writer, except with O_NONBLOCK; the open descriptor is then checked.
        _check_mode(path, path.stat().st_mode)  # a device must not be opened
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise NoSuchRecordingError(f"{path}: no such file; check the name") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "the link points to itself" if getattr(error, "errno", 0) == errno.ELOOP else "check its permissions"
        raise AudioError(f"{str(path)[:200]}: cannot be opened ({reason}); {remedy}") from error
    try:
        found = os.fstat(descriptor)
        _check_mode(path, found.st_mode)
        if not found.st_size:
            raise AudioError(f"{path}: the file is empty; copy or download it again")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_mode(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path}: is a folder, expected one recording")
    if not stat.S_ISREG(mode):
        raise AudioError(f"{path}: is a pipe, a device or a socket, not a file; give the recording itself")
