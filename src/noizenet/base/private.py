"""Folders that only this user can change, opened so that another user cannot replace them.

Code that is loaded must belong to this user. A path is not safe: in a folder that others can write to (``/tmp``),
another user can create a part of it or a link. A path is therefore opened part by part, each relative to the previous
one and checked after it was opened; files are then accessed through the open folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

HAS_OWNERS = hasattr(os, "geteuid") and os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""Whether the system has owners and folder descriptors; on Windows each user has a separate temporary folder."""
MAX_LINKS = 32


def is_ours(found: os.stat_result) -> bool:
    """Whether this user owns a file and nobody else can write to it (always True on Windows)."""
    return not HAS_OWNERS or (found.st_uid == os.geteuid() and not found.st_mode & 0o022)


@contextlib.contextmanager
def opened(path: Path, *, make: bool = False) -> Iterator[PrivateFolder]:
    """Open a folder that only this user can write to.

    Parameters
    ----------
    path : Path
    make : bool
        Create missing folders; replace an unsafe file or folder of this user at this path.

    Raises
    ------
    OSError
        If it is missing, belongs to another user, or another user could have created it or one of its parents.
    """
    folder = PrivateFolder(path, make=make)
    try:
        yield folder
    finally:
        folder.close()


class PrivateFolder:
    """An open folder that only this user can write to; see :func:`opened`."""

    def __init__(self, path: Path, *, make: bool) -> None:
        self.path, self._fd = path, -1
        self.made = False
        if not HAS_OWNERS:
            if make:
                self.made = not path.is_dir()
                _make_plain(path)
            if not path.is_dir():
                raise FileNotFoundError(2, "no such folder", str(path))
            return
        parent = _walk(path.parent, make=make)
        try:
            if make:
                self.made = _make(parent, path)
            self._fd = _enter(parent, path.name, os.O_RDONLY)
        finally:
            os.close(parent)
        if not is_ours(os.fstat(self._fd)):
            self.close()
            raise PermissionError(1, "others can write there", str(path))

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def names(self) -> list[str]:
        """Return the names of the folder's entries, sorted."""
        return sorted(os.listdir(self._fd if HAS_OWNERS else self.path))  # noqa: PTH208 - an open folder has no path

    def status(self) -> os.stat_result:
        """Return the folder's status (``fstat``)."""
        return os.fstat(self._fd) if HAS_OWNERS else self.path.stat()

    def touch(self) -> None:
        """Update the folder's time of last use."""
        os.utime(self._fd if HAS_OWNERS else self.path)

    def read(self, name: str) -> bytes:
        """Return the content of a regular file of this user; anything else is an OSError."""
        with os.fdopen(self._open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as handle:
            found = os.fstat(handle.fileno())
            if not stat.S_ISREG(found.st_mode) or not is_ours(found):
                raise PermissionError(1, "not a file of this user's alone", name)
            return handle.read()

    def create(self, name: str, content: bytes) -> None:
        """Write a new file."""
        with os.fdopen(self._open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as handle:
            handle.write(content)

    def rename(self, old: str, new: str) -> None:
        """Rename a file atomically, replacing a file or folder of the new name."""
        try:
            self._replace(old, new)
        except IsADirectoryError:
            self.remove_folder(new)
            self._replace(old, new)

    def remove(self, name: str) -> None:
        """Remove a file, or a link but not its target."""
        if HAS_OWNERS:
            os.unlink(name, dir_fd=self._fd)
        else:
            (self.path / name).unlink()

    def remove_folder(self, name: str) -> None:
        """Remove a folder and its content; links are removed, not followed."""
        if HAS_OWNERS and not os.path.samestat(self.path.stat(), os.fstat(self._fd)):
            raise PermissionError(1, "the folder was replaced by another", str(self.path))
        shutil.rmtree(self.path / name)

    def _open(self, name: str, flags: int) -> int:
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        if HAS_OWNERS:
            return os.open(name, flags, 0o600, dir_fd=self._fd)
        return os.open(self.path / name, flags, 0o600)

    def _replace(self, old: str, new: str) -> None:
        if HAS_OWNERS:
            os.replace(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        else:
            (self.path / old).replace(self.path / new)


def _walk(path: Path, *, make: bool) -> int:
    """Open a folder part by part; refuse parts that another user could have created."""
    parts = list(Path(os.path.abspath(path)).parts)[::-1]  # noqa: PTH100 - links are checked and followed below
    here, links = _enter(None, parts.pop()), 0
    try:
        while parts:
            name = parts.pop()
            shared = os.fstat(here).st_mode & 0o022
            found = _status(here, name, make=make)
            is_link = stat.S_ISLNK(found.st_mode)
            if shared and (found.st_uid not in (0, os.geteuid()) or (is_link and shared & 0o002)):
                raise PermissionError(1, f"{name} could be another user's", str(path))
            if is_link:
                links += 1
                if links > MAX_LINKS:
                    raise PermissionError(1, "too many links in the path", str(path))
                target = Path(os.readlink(name, dir_fd=here))
                parts += list(target.parts)[::-1]
                if not target.is_absolute():
                    continue
                name = parts.pop()
            following = _enter(here, name)
            os.close(here)
            here = following
    except BaseException:
        os.close(here)
        raise
    return here


def _status(folder: int, name: str, *, make: bool) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _enter(folder: int | None, name: str, how: int = getattr(os, "O_PATH", 0)) -> int:
    """Open a folder, not a link; O_PATH needs only search permission."""
    return os.open(name, how | os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)


def _make(parent: int, path: Path) -> bool:
    """Create a folder that only this user can write to, unless it exists; return whether it was created."""
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path.name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode) and is_ours(found):
            if found.st_mode & 0o700 != 0o700:
                os.chmod(path.name, 0o700, dir_fd=parent)
            return False
        if found.st_uid != os.geteuid():
            raise PermissionError(1, f"{path.name} belongs to another user", str(path))
        if stat.S_ISDIR(found.st_mode):  # others can write to it and may have added files
            shutil.rmtree(path)
        else:
            os.unlink(path.name, dir_fd=parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path.name, 0o700, dir_fd=parent)
    return True


def _make_plain(path: Path) -> None:
    if path.exists() and not path.is_dir():
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
