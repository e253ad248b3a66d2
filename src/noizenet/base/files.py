"""Files that are either whole or absent.

Everything noizenet writes goes to a temporary name in the same folder first and is renamed when complete;
a killed process or a full disk leaves the old file as it was.
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
    errno.EACCES: "no permission to write here; choose another place or change its rights",
    errno.EROFS: "this file system is read-only; choose another place",
    errno.ENOTDIR: "a folder on the way is a file; choose another place",
    errno.EFBIG: "the file is larger than this file system or the user's limit allows; choose another place",
    errno.EIO: "the disk reports a fault (input/output error); check the disk, or choose another place",
    errno.EMFILE: "too many files are open in this process; raise the limit ('ulimit -n') and run the command again",
    errno.ENOENT: "the folder is not there any more; check the place and run the command again",
}
_REMEDIES[errno.EPERM] = _REMEDIES[errno.EACCES]
_REMEDIES[errno.ENFILE] = _REMEDIES[errno.EMFILE]
_FULL = {errno.ENOSPC: "the disk is full", getattr(errno, "EDQUOT", errno.ENOSPC): "the disk quota is used up"}
_FULL[errno.ENOSPC] = "the disk is full"  # where a system knows no quotas, both numbers are one


def explain_os_error(error: OSError, path: Path) -> NoizenetError:
    """Turn an operating-system error on writing `path` into one line with a remedy."""
    name = escape_name(str(path))
    if error.errno in _FULL:
        return DiskFullError(
            f"{name}: {_FULL[error.errno]}; free some room and run the command again "
            "(what was complete is kept, nothing half-written remains)"
        )
    if error.errno == errno.ENAMETOOLONG:
        return NoizenetError(f"{name[:80]}…: the name is too long for this file system; choose a shorter one")
    remedy = _REMEDIES.get(error.errno or 0, f"cannot write: {error.strerror or error}")
    return NoizenetError(f"{name}: {remedy}")


def explain_failed_write(half: Path, path: Path, otherwise: NoizenetError) -> NoizenetError:
    """Find out why a library that hides the system's errors could not write a file.

    Parameters
    ----------
    half : Path
        The half-written file: what fills the disk must not be removed before the disk is asked.
    path : Path
        The name that the user knows it by.
    otherwise : NoizenetError
        The answer where the system takes more bytes without complaint.

    Returns
    -------
    NoizenetError
    """
    try:
        with half.open("ab") as handle:
            handle.write(bytes(PROBE_BYTES))
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        return explain_os_error(error, path)
    return otherwise


def make_folder(path: Path) -> Path:
    """Create `path` and its parents, with a clear error where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{path}: is a file, expected a folder; choose another place") from error
    except NotADirectoryError as error:
        raise UsageError(str(explain_os_error(error, path))) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    return path


def temporary_name(path: Path) -> Path:
    """Return a name beside `path`, with the same ending, that no other writer of `path` has.

    It names the computer and the process. When a process first writes to a folder, what killed ones left there goes.
    """
    here = os.getpid(), os.path.abspath(path.parent)  # noqa: PTH100 - links need not be followed
    if here not in _swept:
        _swept.add(here)
        remove_stale(path.parent, abandoned=True)
    who = f"{_computer()}-{os.getpid()}-{secrets.token_hex(6)}"
    return path.with_name(f".{path.stem[:40]}-{who}{TEMPORARY_SUFFIX}{path.suffix}")


def _computer() -> str:
    """Return eight hexadecimal digits for this computer: processes of another may write to a shared folder."""
    return f"{zlib.crc32(platform.node().encode('utf-8', 'replace')):08x}"


def check_replaceable(path: Path) -> None:
    """See that `path` is absent or a regular file: a rename would put a file in the place of a device or a pipe.

    Raises
    ------
    UsageError
        If something else lies there.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, expected a file name")
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{path}: is a device or a pipe, not a regular file; give a file's name (- stands for standard output)"
        )


def check_outputs(outputs: Sequence[Path | str], inputs: Sequence[Path | str | None]) -> None:
    """See that no output is an input, by whatever name, link or folder, and that none is written twice.

    Parameters
    ----------
    outputs : sequence of Path or str
        Files or folders that are about to be written.
    inputs : sequence of Path, str or None
        Files or folders that are read; None, and what does not exist, is passed over.

    Raises
    ------
    UsageError
        If an output is an input, named twice, or no regular file; nothing has been written then.
    """
    read = [Path(p) for p in inputs if p is not None and _exists(Path(p))]
    seen = dict[str, Path]()
    for out in map(Path, outputs):
        place = os.path.realpath(out)
        if place in seen:
            raise UsageError(f"{out}: is to be written twice; give each output a name of its own")
        seen[place] = out
        if not _exists(out):
            continue
        for source in read:
            if _same(out, source):
                raise UsageError(
                    f"{out}: is what is read ({source}), and would be overwritten; choose another name for the output"
                )
        if not out.is_dir():
            check_replaceable(out)


def check_own_folder(folder: Path, what: str, marks: Iterable[str], parts: Iterable[str] = ()) -> None:
    """See that an output folder is absent, empty or one that noizenet has made: nothing is written among others' files.

    Hidden files do not count: locks, what killed processes have left half-written, and what file managers keep.

    Parameters
    ----------
    folder : Path
    what : str
        What is about to be written ("corpus"), for the message.
    marks : iterable of str
        Names any of which shows that the folder is such a one; then anything may lie beside it.
    parts : iterable of str
        Other names that a stopped process may have left there before a mark was.

    Raises
    ------
    UsageError
        If the folder holds something else.
    """
    try:
        names = {p.name for p in folder.iterdir() if not p.name.startswith(".")} if folder.is_dir() else set[str]()
    except OSError as error:
        raise explain_os_error(error, folder) from error
    strange = sorted(names - {*marks, *parts})
    if strange and names.isdisjoint(marks):
        raise UsageError(
            f"{folder}: holds other files already (for instance {escape_name(strange[0])}) and no {what} of "
            "noizenet's; choose a new or an empty folder"
        )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that cannot be one
        return False


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def remove_stale(folder: Path, *, older_s: float = -math.inf, abandoned: bool = False) -> int:
    """Remove temporary files that killed processes have left in `folder`; return how many.

    Parameters
    ----------
    folder : Path
        Looked through without its subfolders.
    older_s : float
        Only files that were last written so many seconds ago; all of them where a lock makes sure that nobody
        else writes here.
    abandoned : bool
        Only files of processes of this computer that are no more.
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
    if os.name != "posix":  # elsewhere signal 0 is one that ends a process
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's, or no number of a process
        return False
    return False


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success rename it to `path`, on failure remove it.

    Parameters
    ----------
    path : Path or str
        Where the finished file belongs. Its folder must exist.

    Yields
    ------
    Path
        A name in the same folder, with the same ending, to write to.

    Raises
    ------
    DiskFullError
        When the disk fills up.
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
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all; what UTF-8 cannot hold is spelt with backslashes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented, strict JSON (null for what is not finite, keys in the given order)."""
    write_text(path, to_json(value, 2) + "\n")


def write_csv(path: Path | str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `rows` as CSV with a header line; what UTF-8 cannot hold is spelt with backslashes."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle,
    ):
        writer = csv.DictWriter(handle, fieldnames=list(columns), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def folder_lock(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder` for this process alone.

    Raises
    ------
    LockedError
        When another process holds it.
    """
    from filelock import FileLock, Timeout

    from noizenet.base.errors import LockedError

    path = folder / ".lock"
    if path.is_symlink() or (path.exists() and not path.is_file()):  # locking would open, and could empty, its target
        raise NoizenetError(f"{path}: is a link or a device, and no lock of noizenet's; remove it and try again")
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
