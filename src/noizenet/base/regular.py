"""Files that others made: only regular ones are opened, and no more of them is read than makes sense.

Opening a pipe waits for somebody to write to it, and a device may have no end; a link can lead to either.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path | str) -> BinaryIO:
    """Open a regular file for reading, at once.

    Raises
    ------
    OSError
        If it is not there, cannot be read, or is a pipe, a device or a folder; `strerror` says which.
    """
    _check(path, Path(path).stat().st_mode)  # a device is not even opened
    # What it is is asked again of what was opened; with O_NONBLOCK opening a pipe does not wait.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check(path, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path | str, most: int) -> bytes:
    """Return the content of a regular file of `most` bytes or fewer.

    Raises
    ------
    OSError
        As :func:`open_regular`; and EFBIG where it is larger, or grows while it is read.
    """
    with open_regular(path) as handle:
        if os.fstat(handle.fileno()).st_size <= most:
            data = handle.read(most + 1)
            if len(data) <= most:
                return data
    raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))


def check_regular(path: Path | str, *, links: bool = True) -> None:
    """See that a library that opens files itself will find a regular one; without `links`, not by way of a link.

    Raises
    ------
    OSError
        If it will not.
    """
    found = Path(path).stat() if links else Path(path).lstat()
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.EINVAL, "is a link, and no file", str(path))
    _check(path, found.st_mode)


def _check(path: Path | str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, and no file", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is a pipe, a device or a socket, and no file", str(path))
