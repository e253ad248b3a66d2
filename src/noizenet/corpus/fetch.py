"""Download, verify and unpack FMA archives; downloads resume after a broken connection or a killed process."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from noizenet.base.errors import DiskFullError, FetchError, UsageError
from noizenet.base.files import explain_os_error, folder_lock, make_folder, temporary_name, write_text
from noizenet.corpus.build import DEFAULT_RATE_HZ, Progress, build, check_corpus_folder
from noizenet.corpus.corpus import Corpus
from noizenet.corpus.fma import SUBSETS, FmaSource

if TYPE_CHECKING:
    import requests

BASE_URL = "https://os.unil.cloud.switch.ch/fma"
COPY_BYTES = 1 << 20
CHUNK_BYTES = 1 << 14  # the most that a broken connection can lose
TRIES = 6  # consecutive attempts without progress

Transfer = Callable[[str, int, int], None]
"""Called with (file name, bytes received, total bytes; 0 if the server does not report it)."""


def fetch_fma(
    name: str,
    out: Path | str,
    *,
    base_url: str = BASE_URL,
    sample_rate: int = DEFAULT_RATE_HZ,
    channels: int = 1,
    keep_archives: bool = False,
    pause_s: float = 2.0,
    workers: int | None = None,
    transfer: Transfer | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Fetch an FMA subset and build a corpus of it.

    Parameters
    ----------
    name : str
        ``fma-small``, ``fma-medium``, ``fma-large`` or ``fma-full``.
    out : Path or str
        The corpus folder; archives go to ``out/download``, unpacked files to ``out/source``.
    base_url : str
        Address of the folder of the archives.
    sample_rate, channels, workers, progress
        As for :func:`noizenet.corpus.build.build`.
    keep_archives : bool
        Keep the archives after unpacking.
    pause_s : float
        Pause before the first retry in seconds; doubles with each retry.
    transfer : callable, optional
        See :data:`Transfer`.

    Returns
    -------
    Corpus

    Raises
    ------
    UsageError
        If the name is unknown or the address is not valid.
    FetchError
        If an archive cannot be downloaded or its checksum is wrong.
    """
    subset = name.removeprefix("fma-")
    if not name.startswith("fma-") or subset not in SUBSETS:
        raise UsageError(f"unknown dataset {name!r}, expected one of " + ", ".join(f"fma-{s}" for s in SUBSETS))
    address = urlsplit(base_url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise UsageError(f"base url: {base_url!r} is not an address; give one that begins with http:// or https://")
    out = Path(out)
    check_corpus_folder(out)
    download, source = make_folder(out / "download"), make_folder(out / "source")
    with folder_lock(out, "corpus"):
        for archive in ("fma_metadata.zip", f"fma_{subset}.zip"):
            done = source / f".unpacked-{archive}"
            if done.exists():
                continue
            path = fetch(
                f"{base_url}/{archive}", download / archive, FmaSource.checksums[archive],
                pause_s=pause_s, transfer=transfer,
            )  # fmt: skip
            unpack(path, source)
            write_text(done, FmaSource.checksums[archive] + "\n")
            if not keep_archives:
                path.unlink()
    return build(
        source,
        out,
        layout="fma",
        sample_rate=sample_rate,
        channels=channels,
        workers=workers,
        progress=progress,
    )


def fetch(url: str, path: Path, sha1: str, *, pause_s: float = 2.0, transfer: Transfer | None = None) -> Path:
    """Download `url` to `path`, resuming a partial download, and check its SHA-1.

    Raises
    ------
    FetchError
        After repeated failures (the partial download is kept for the next run), or if the checksum is wrong (the
        download is removed).
    """
    import requests

    try:
        if path.exists() and _sha1(path) == sha1:
            return path
    except OSError as error:
        raise explain_os_error(error, path) from error
    partial = path.with_name(path.name + ".partial")
    reason = ""
    failures = 0
    while failures < TRIES:
        present = _size(partial)
        if failures:
            pause = pause_s * 2 ** (failures - 1)
            logging.getLogger(__name__).warning("%s: %s; trying again in %g s", url, reason, pause)
            time.sleep(pause)
        try:
            if _resume(url, partial, transfer):
                break
            reason = "the connection was closed"
        except requests.HTTPError as error:
            status = error.response.status_code
            if status < 500 and status != 429:
                raise FetchError(f"{url}: the server returned HTTP status {status}; check the address") from error
            reason = f"the server returned HTTP status {status}"
        except requests.RequestException as error:
            reason = f"{type(error).__name__}"
        except OSError as error:
            raise explain_os_error(error, partial) from error
        failures = 1 if _size(partial) > present else failures + 1
    else:
        received = _size(partial)
        raise FetchError(
            f"{url}: {reason}, {TRIES} times in a row; check the network and run the command again "
            f"({received:,} bytes are kept; the download will resume)"
        )
    found = _sha1(partial)
    if found != sha1:
        partial.unlink()
        raise FetchError(
            f"{url}: wrong content (SHA-1 {found}, expected {sha1}); it was removed, run the command again"
        )
    partial.replace(path)
    return path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip file below `folder`; reject archives with members outside it.

    Raises
    ------
    FetchError
        If the archive is damaged or unsafe.
    DiskFullError
        If there is not enough free space.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = bundle.infolist()
            for member in members:
                name = PurePosixPath(member.filename)
                if name.is_absolute() or ".." in name.parts or "\\" in member.filename or not name.parts:
                    raise FetchError(f"{archive}: unsafe member name {member.filename!r}; not unpacked")
            missing = [m for m in members if not _is_unpacked(m, folder)]
            needed = sum(m.file_size for m in missing)
            free = shutil.disk_usage(folder).free
            if needed > free:
                raise DiskFullError(
                    f"{folder}: unpacking {archive.name} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: "
                    "the disk is full; free some disk space and run the command again"
                )
            for member in missing:
                _extract(bundle, member, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, ValueError) as error:
        raise FetchError(f"{archive}: a damaged archive ({error}); remove it and run the command again") from error
    except OSError as error:
        raise explain_os_error(error, folder) from error


def _is_unpacked(member: zipfile.ZipInfo, folder: Path) -> bool:
    target = folder / member.filename
    return not member.is_dir() and target.is_file() and target.stat().st_size == member.file_size


def _extract(bundle: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / member.filename
    if member.is_dir():
        make_folder(target)
        return
    make_folder(target.parent)
    # Renamed when complete. No fsync: a file lost in a power failure is unpacked again.
    temporary = temporary_name(target)
    try:
        with bundle.open(member) as source, temporary.open("wb") as handle:
            shutil.copyfileobj(source, handle, COPY_BYTES)
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _resume(url: str, partial: Path, transfer: Transfer | None) -> bool:
    """Continue the download at the end of `partial`; return True if it is complete."""
    import requests

    present = _size(partial)
    headers = {"Range": f"bytes={present}-"} if present else {}
    with requests.get(url, headers=headers, stream=True, timeout=(15, 60)) as response:
        if response.status_code == 416:  # no bytes after `present`: complete, or the file on the server was replaced
            return True
        response.raise_for_status()
        resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {present}-"
        )
        start = present if resumed else 0
        total = start + _length(response)
        done = start
        with (
            partial.open("ab" if resumed else "wb") as handle,
            contextlib.suppress(requests.exceptions.ChunkedEncodingError),
        ):
            for chunk in response.iter_content(CHUNK_BYTES):
                handle.write(chunk)
                done += len(chunk)
                if transfer is not None:
                    transfer(partial.name.removesuffix(".partial"), done, total if total > start else 0)
        return done == total if total > start else True


def _length(response: requests.Response) -> int:
    try:
        return int(response.headers.get("Content-Length", "0"))
    except ValueError:
        return 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha1(path: Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(COPY_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
