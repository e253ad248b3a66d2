"""Safe reading of untrusted files: only regular files are opened, and their size is limited.

Opening a pipe blocks until there is a writer, and a device may have no end; a link can point to either.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path | str) -> BinaryIO:
    """Open a regular file for reading, without blocking.

    Raises
    ------
    OSError
        If it is missing, not readable, or is a pipe, a device or a folder; `strerror` contains the reason.
    """
    _check(path, Path(path).stat().st_mode)  # a device must not be opened
    # The open descriptor is checked again; with O_NONBLOCK, opening a pipe does not block.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check(path, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path | str, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises
    ------
    OSError
        As :func:`open_regular`; EFBIG if the file is larger, or grows while it is read.
    """
    with open_regular(path) as handle:
        if os.fstat(handle.fileno()).st_size <= most:
            data = handle.read(most + 1)
            if len(data) <= most:
                return data
    raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))


def check_regular(path: Path | str, *, links: bool = True) -> None:
    """Check that `path` is a regular file, for libraries that open files themselves; without `links`, refuse links.

    Raises
    ------
    OSError
        If it is not.
    """
    found = Path(path).stat() if links else Path(path).lstat()
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.EINVAL, "is a link, not a file", str(path))
    _check(path, found.st_mode)


def _check(path: Path | str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is a pipe, a device or a socket, not a file", str(path))
