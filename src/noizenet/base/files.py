"""Atomic file output.

Every file is first written under a temporary name in the same folder and renamed when complete. After a killed process
or on a full disk, the old file is unchanged.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import math
import os
import platform
import re
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from noizenet.base.errors import DiskFullError, NoizenetError, UsageError
from noizenet.base.names import escape_name
from noizenet.base.plain import to_json

TEMPORARY_SUFFIX = ".part"
PROBE_BYTES = 1 << 17
_TEMPORARY = re.compile(r"\..*?(?:-([0-9a-f]{8})-(\d+))?-[0-9a-f]{12}\.part(\..+)?", re.DOTALL)
_swept: set[tuple[int, str]] = set()


_REMEDIES = {
    errno.EACCES: "no permission to write here; choose another folder or change its permissions",
    errno.EROFS: "this file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another folder",
    errno.EFBIG: "the file is larger than this file system or the user's limit allows; choose another folder",
    errno.EIO: "the disk reports an error (input/output error); check the disk, or choose another folder",
    errno.EMFILE: "too many files are open in this process; raise the limit ('ulimit -n') and run the command again",
    errno.ENOENT: "the folder no longer exists; check the path and run the command again",
}
_REMEDIES[errno.EPERM] = _REMEDIES[errno.EACCES]
_REMEDIES[errno.ENFILE] = _REMEDIES[errno.EMFILE]
_FULL = {errno.ENOSPC: "the disk is full", getattr(errno, "EDQUOT", errno.ENOSPC): "the disk quota is used up"}
_FULL[errno.ENOSPC] = "the disk is full"  # without quotas both numbers are the same


def explain_os_error(error: OSError, path: Path) -> NoizenetError:
    """Convert an operating-system error while writing `path` to an error of one line with a remedy."""
    name = escape_name(str(path))
    if error.errno in _FULL:
        return DiskFullError(
            f"{name}: {_FULL[error.errno]}; free some space and run the command again "
            "(complete files are kept, no partial file remains)"
        )
    if error.errno == errno.ENAMETOOLONG:
        return NoizenetError(f"{name[:80]}…: the name is too long for this file system; choose a shorter one")
    remedy = _REMEDIES.get(error.errno or 0, f"cannot write: {error.strerror or error}")
    return NoizenetError(f"{name}: {remedy}")


def explain_failed_write(partial: Path, path: Path, otherwise: NoizenetError) -> NoizenetError:
    """Find out why a library that hides system errors could not write a file.

    Parameters
    ----------
    partial : Path
        The partial file; it must still exist, because removing it would free space.
    path : Path
        The file's final name, for the message.
    otherwise : NoizenetError
        Returned if the system accepts more bytes.

    Returns
    -------
    NoizenetError
    """
    try:
        with partial.open("ab") as handle:
            handle.write(bytes(PROBE_BYTES))
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        return explain_os_error(error, path)
    return otherwise


def make_folder(path: Path) -> Path:
    """Create `path` and its parents; raise a clear error if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{path}: is a file, expected a folder; choose another name") from error
    except NotADirectoryError as error:
        raise UsageError(str(explain_os_error(error, path))) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    return path


def temporary_name(path: Path) -> Path:
    """Return a unique temporary name in the folder of `path`, with the same suffix.

    It contains the computer and the process. When a process first writes to a folder, temporary files of killed
    processes are removed.
    """
    here = os.getpid(), os.path.abspath(path.parent)  # noqa: PTH100 - links need not be followed
    if here not in _swept:
        _swept.add(here)
        remove_stale(path.parent, abandoned=True)
    who = f"{_computer()}-{os.getpid()}-{secrets.token_hex(6)}"
    return path.with_name(f".{path.stem[:40]}-{who}{TEMPORARY_SUFFIX}{path.suffix}")


def _computer() -> str:
    """Return eight hexadecimal digits for this computer; another computer may write to a shared folder."""
    return f"{zlib.crc32(platform.node().encode('utf-8', 'replace')):08x}"


def check_replaceable(path: Path) -> None:
    """Check that `path` is absent or a regular file; a rename would replace a device or a pipe.

    Raises
    ------
    UsageError
        If it is something else.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, expected a file name")
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{path}: is a device or a pipe, not a regular file; give a file's name (- stands for standard output)"
        )


def check_outputs(outputs: Sequence[Path | str], inputs: Sequence[Path | str | None]) -> None:
    """Check that no output is an input (also through links) and that no output is given twice.

    Parameters
    ----------
    outputs : sequence of Path or str
        Files or folders to write.
    inputs : sequence of Path, str or None
        Files or folders to read; None and missing ones are ignored.

    Raises
    ------
    UsageError
        If an output is an input, is given twice, or is not a regular file.
    """
    read = [Path(p) for p in inputs if p is not None and _exists(Path(p))]
    seen = dict[str, Path]()
    for out in map(Path, outputs):
        place = os.path.realpath(out)
        if place in seen:
            raise UsageError(f"{out}: is given as an output twice; give each output a different name")
        seen[place] = out
        if not _exists(out):
            continue
        for source in read:
            if _same(out, source):
                raise UsageError(
                    f"{out}: is also an input ({source}) and would be overwritten; choose another name for the output"
                )
        if not out.is_dir():
            check_replaceable(out)


def check_own_folder(folder: Path, what: str, marks: Iterable[str], parts: Iterable[str] = ()) -> None:
    """Check that an output folder is absent, empty or was written by noizenet, so that foreign files are not mixed in.

    Hidden files are ignored: locks, temporary files of killed processes, and files of file managers.

    Parameters
    ----------
    folder : Path
    what : str
        Kind of output ("corpus"), for the message.
    marks : iterable of str
        File names any of which identifies such a folder; other files may then exist too.
    parts : iterable of str
        Other names that an interrupted process may have left before the first mark.

    Raises
    ------
    UsageError
        If the folder contains other files.
    """
    try:
        names = {p.name for p in folder.iterdir() if not p.name.startswith(".")} if folder.is_dir() else set[str]()
    except OSError as error:
        raise explain_os_error(error, folder) from error
    foreign = sorted(names - {*marks, *parts})
    if foreign and names.isdisjoint(marks):
        raise UsageError(
            f"{folder}: contains other files (for instance {escape_name(foreign[0])}) and no {what} of "
            "noizenet's; choose a new or an empty folder"
        )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # an invalid name
        return False


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def remove_stale(folder: Path, *, older_s: float = -math.inf, abandoned: bool = False) -> int:
    """Remove temporary files of killed processes from `folder`; return their number.

    Parameters
    ----------
    folder : Path
        Searched without its subfolders.
    older_s : float
        Only remove files last written at least this number of seconds ago. The default removes all, which is safe only
        under a lock.
    abandoned : bool
        Only remove files of this computer's processes that no longer exist.
    """
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found is None or (abandoned and not (found[1] == _computer() and _is_over(int(found[2])))):
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime >= older_s:
                    Path(entry.path).unlink()
                    removed += 1
    return removed


def _is_over(pid: int) -> bool:
    if os.name != "posix":  # on Windows, signal 0 terminates a process
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's process, or an invalid number
        return False
    return False


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` on success, remove it on failure.

    Parameters
    ----------
    path : Path or str
        The final file. Its folder must exist.

    Yields
    ------
    Path
        A name in the same folder, with the same suffix, to write to.

    Raises
    ------
    DiskFullError
        If the disk is full.
    NoizenetError
        For any other operating-system error while writing.
    """
    path = Path(path)
    check_replaceable(path)
    temporary = temporary_name(path)
    try:
        yield temporary
        with temporary.open("rb+") as handle:  # a rename must not overtake the data
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically; characters invalid in UTF-8 are escaped with backslashes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented, strict JSON (null for non-finite numbers, keys in the given order)."""
    write_text(path, to_json(value, 2) + "\n")


def write_csv(path: Path | str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `rows` as CSV with a header line; characters invalid in UTF-8 are escaped with backslashes."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle,
    ):
        writer = csv.DictWriter(handle, fieldnames=list(columns), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def folder_lock(folder: Path, what: str) -> Iterator[None]:
    """Lock `folder` for this process.

    Raises
    ------
    LockedError
        If another process has locked it.
    """
    from filelock import FileLock, Timeout

    from noizenet.base.errors import LockedError

    path = folder / ".lock"
    if path.is_symlink() or (path.exists() and not path.is_file()):  # locking would open and could truncate its target
        raise NoizenetError(f"{path}: is a link or a device, not a lock file; remove it and try again")
    lock = FileLock(str(path), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{folder}: another process is working on this {what}; wait until it ends or choose another folder"
        ) from error
    except NotImplementedError as error:
        raise NoizenetError(f"{folder}: this file system cannot lock files; choose a folder on another disk") from error
    except OSError as error:
        raise explain_os_error(error, folder) from error
    try:
        yield
    finally:
        lock.release()
