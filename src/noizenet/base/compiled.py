"""The cache of compiled functions: one folder, safe when many processes start at once.

Numba's cache has an index file and a code file for each function. Two processes that write both at once leave pairs
that do not match, and every later start crashes (numba issue 10128). This cache has one file for each compiled
function. It contains its key and a digest of its content, and is written atomically by a rename. A file is used only if
it is complete and has the right key. The lock only saves work: one process compiles, the others wait and load.
Correctness depends neither on the lock nor on NUMBA_CACHE_DIR, which belongs to the user.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from noizenet.base.private import PrivateFolder, opened

MAGIC = b"noizenet compiled 1\n"
SUFFIX, TEMPORARY, LOCK = ".bin", ".part", ".lock"
FOLDER_NAME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}")
"""Names of a cache's folders; nothing else is ever removed."""
KEPT_VERSIONS = 2
"""Folders kept for each processor: of the latest code and of the previous one."""
UNUSED_DAYS = 90
"""Days after which an unused folder of another processor (in a shared home) is removed."""
LOCK_TIMEOUT_S = 120.0
"""Seconds to wait for a compiling process since it last finished a function."""


@dataclass
class Callbacks:
    """Callbacks during compilation.

    Attributes
    ----------
    on_progress : callable (what, done, total)
        What is compiled ("the kernels"), the number of functions that this process has compiled so far, and their
        expected total; 0 if unknown.
    on_wait : callable ()
        Another process is compiling; called once per wait.
    on_note : callable (text)
        A remark for the user, one line; called once per process.
    """

    on_progress: Callable[[str, int, int], object] = lambda what, done, total: None
    on_wait: Callable[[], object] = lambda: None
    on_note: Callable[[str], object] = lambda text: None


callbacks = Callbacks()
"""No output until a program sets its callables: a library does not print."""


@dataclass(frozen=True)
class State:
    """State of a cache.

    Attributes
    ----------
    folder : Path or None
        The cache folder; None if no folder is writable.
    writable : bool
        Whether files can be added.
    temporary : bool
        Whether it is in the system's folder for temporary files.
    count, size : int
        Intact files, and their bytes.
    damaged : int
        Damaged or foreign files; each is compiled again when it is needed.
    reason : str
        Why the user's cache folder is not used, or "".
    """

    folder: Path | None
    writable: bool
    temporary: bool
    count: int
    size: int
    damaged: int
    reason: str


def default_folders() -> list[Path]:
    """Return the candidate cache folders in order: the user's cache folder, then the one for temporary files."""
    import platformdirs

    found = [Path(platformdirs.user_cache_dir("noizenet", appauthor=False)) / "compiled"]
    with contextlib.suppress(OSError):  # no folder for temporary files
        found.append(Path(tempfile.gettempdir()) / f"noizenet-{_user()}" / "compiled")
    return found


class CompiledStore:
    """Compiled functions as files.

    Parameters
    ----------
    cpu, code : str
        Digests of the processor and of everything else that compiled code depends on.
    folders : sequence of Path, optional
        :func:`default_folders` by default.
    """

    def __init__(self, cpu: str, code: str, folders: list[Path] | None = None) -> None:
        self._cpu, self._code = cpu, code
        self._folders = [p / f"{cpu}-{code}" for p in (default_folders() if folders is None else folders)]
        self._thread = threading.local()
        self._noted = False

    @property
    def folders(self) -> list[Path]:
        """Folders that are searched, in order."""
        return list(self._folders)

    def load(self, name: str, key: bytes) -> bytes | None:
        """Return the data of a name and a key, or None; a damaged file counts as absent."""
        for path in self._folders:
            # The folder is checked each time and the file is read through its descriptor: no race is possible.
            with contextlib.suppress(OSError), opened(path) as folder:
                if time.time() - folder.status().st_mtime > 86_400:
                    with contextlib.suppress(OSError):
                        folder.touch()  # mark the folder as in use, because the oldest are removed
                found = unpack(folder.read(name + SUFFIX), key)
                if found is not None:
                    return found
        return None

    def save(self, name: str, key: bytes, data: bytes) -> Path | None:
        """Save `data`; return its path, or None if no folder is writable (which is reported once)."""
        reasons = []
        for path in self._folders:
            try:
                with self._prepared(path) as folder:
                    _put(folder, name + SUFFIX, pack(key, data))
            except OSError as error:
                reasons.append(f"{path.parent}: {error.strerror or error}")
                continue
            if reasons:
                self._note(f"{reasons[0]}; compiled kernels are kept in {path.parent}")
            return path / (name + SUFFIX)
        self._note(f"{'; '.join(reasons)}: compiled kernels cannot be saved, so every start compiles them again")
        return None

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Group compilations: a lock acquired inside is released at the outermost end."""
        depth = getattr(self._thread, "depth", 0)
        self._thread.depth = depth + 1
        try:
            yield
        finally:
            self._thread.depth = depth
            if depth == 0 and getattr(self._thread, "lock", None) is not None:
                self._thread.lock.release()
                self._thread.lock = None

    def claim(self) -> bool:
        """Acquire the compile lock until :meth:`compiling` ends; return whether this had to wait."""
        if not getattr(self._thread, "depth", 0) or getattr(self._thread, "lock", None) is not None:
            return False
        from filelock import FileLock, Timeout

        for path in self._folders:
            try:
                with self._prepared(path):
                    pass
                lock = FileLock(str(path / LOCK))
                began, waited, seen = time.monotonic(), False, _count(path)
                while True:
                    try:
                        lock.acquire(timeout=0.05)
                        self._thread.lock = lock
                        return waited
                    except Timeout:
                        if not waited:
                            callbacks.on_wait()
                        waited = True
                    if (now := _count(path)) != seen:
                        began, seen = time.monotonic(), now
                    if time.monotonic() - began > LOCK_TIMEOUT_S:  # its process hangs; the lock is optional
                        return True
            except (OSError, NotImplementedError):
                continue
        return False

    def state(self) -> State:
        """Check every file."""
        reason = ""
        for i, path in enumerate(self._folders):
            try:
                probe = f".{secrets.token_hex(6)}{TEMPORARY}"
                with self._prepared(path) as folder:
                    folder.create(probe, MAGIC)
                    folder.remove(probe)
                writable = True
            except OSError as error:
                reason = reason or f"{path.parent}: {error.strerror or error}"
                writable = False
            count, size, damaged = self._look(path)
            if writable or count:
                return State(path, writable, i > 0, count, size, damaged, reason)
        return State(None, False, False, 0, 0, 0, reason)

    def _look(self, path: Path) -> tuple[int, int, int]:
        """Return a folder's number of intact files, their bytes, and the number of damaged ones."""
        count = size = damaged = 0
        with contextlib.suppress(OSError), opened(path) as folder:
            for name in folder.names():
                if not name.endswith(SUFFIX):
                    continue
                try:
                    data = folder.read(name)
                except OSError:
                    data = b""
                if unpack(data, None) is None:
                    damaged += 1
                else:
                    count, size = count + 1, size + len(data)
        return count, size, damaged

    @contextlib.contextmanager
    def _prepared(self, path: Path) -> Iterator[PrivateFolder]:
        """Open a folder that only this user can write to; create it if missing."""
        with opened(path, make=True) as folder:
            if folder.made:
                self._clean(path)
            yield folder

    def _clean(self, path: Path) -> None:
        """Remove folders of earlier code, and of processors unused for UNUSED_DAYS."""
        with contextlib.suppress(OSError), opened(path.parent) as parent, os.scandir(path.parent) as entries:
            others = [e for e in entries if e.name != path.name and FOLDER_NAME.fullmatch(e.name)]
            ages = {e.name: e.stat(follow_symlinks=False).st_mtime for e in others if e.is_dir(follow_symlinks=False)}
            names = sorted(ages, key=ages.__getitem__, reverse=True)
            same = [n for n in names if n.startswith(f"{self._cpu}-")]
            long_ago = time.time() - UNUSED_DAYS * 86_400
            unused = [n for n in names if n not in same and ages[n] < long_ago]
            for name in same[KEPT_VERSIONS - 1 :] + unused:
                with contextlib.suppress(OSError):
                    parent.remove_folder(name)

    def _note(self, text: str) -> None:
        if not self._noted:
            self._noted = True
            callbacks.on_note(text)


def pack(key: bytes, data: bytes) -> bytes:
    """Return a file's content: magic bytes, a digest of the rest, the key, the data."""
    body = struct.pack("<I", len(key)) + key + data
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(content: bytes, key: bytes | None) -> bytes | None:
    """Return the data of a file's content, or None if it is damaged or has another key than `key` (if given).

    Examples
    --------
    >>> unpack(pack(b"key", b"code"), b"key"), unpack(pack(b"key", b"code"), b"other")
    (b'code', None)
    >>> unpack(pack(b"key", b"code")[:-1], b"key")
    """
    start = len(MAGIC) + 32
    body = content[start:]
    if not content.startswith(MAGIC) or len(body) < 4:
        return None
    if hashlib.sha256(body).digest() != content[len(MAGIC) : start]:
        return None
    (length,) = struct.unpack_from("<I", body)
    if key is not None and body[4 : 4 + length] != key:
        return None
    return body[4 + length :]


def _put(folder: PrivateFolder, name: str, content: bytes) -> None:
    """Write a file atomically, replacing an existing one."""
    temporary = f".{name[:40]}-{secrets.token_hex(6)}{TEMPORARY}"
    try:
        folder.create(temporary, content)
        try:
            folder.rename(temporary, name)
        except PermissionError:
            if not (folder.path / name).is_file():  # Windows: another process has it open and has just written it
                raise
    finally:
        with contextlib.suppress(OSError):
            folder.remove(temporary)


def _count(path: Path) -> int:
    return sum(1 for _ in path.glob("*" + SUFFIX))


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"
