"""Uploads: recordings to train on, and audio prompts. They are limited in size and number, and decoded in a subprocess.

An upload stays in ``incoming`` until a subprocess has decoded all of it; then it gets its name. Nothing is overwritten:
a number is added to a name in use, unless the file with that name is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noizenet.audio.read import AUDIO_SUFFIXES
from noizenet.base.errors import UsageError
from noizenet.studio.decode_sandbox import DecodeTimeoutError, probe
from noizenet.studio.names import check_name, numbered_name, path_inside, safe_name
from noizenet.studio.quotas import evict_oldest, size_of
from noizenet.studio.refusals import RefusedError, describe_os_error
from noizenet.studio.settings import Settings

STALL_TIMEOUT_S = 30.0
"""Time without data after which an upload fails."""

DISK_CHECK_BYTES = 8 << 20
"""Bytes of an upload between two checks of the free disk space."""

SUFFIXES = AUDIO_SUFFIXES | {".mkv", ".mov", ".m4v", ".ogv", ".wmv"}
"""Suffixes of audio files, and of videos, whose first audio track is read."""

MAX_DEPTH = 8
"""Maximum depth of folders in a collection."""

_store_lock = threading.Lock()


@dataclass(frozen=True)
class Received:
    """A complete upload: its temporary path, its size in bytes and its SHA-256."""

    path: Path
    size: int
    digest: str


def audio_suffix(name: str) -> str:
    """Return the suffix of an audio file's name.

    Raises
    ------
    UsageError
        For a suffix that is not an audio file's.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{name}: not a known audio file type; supported are {' '.join(sorted(SUFFIXES))}")
    return suffix


def upload_path(collection: str, genre: str, name: str) -> list[str]:
    """Return the collection, the folders and the file name of an upload, as valid names.

    Parameters
    ----------
    collection, genre : str
        The genre, if given, is the first folder.
    name : str
        The file's name, or its path below the chosen folder: ``rock/CD1/01.wav``.

    Raises
    ------
    UsageError
        For an invalid collection name, a suffix that is not an audio file's, or too many nested folders.
    """
    *folders, last = [part for part in name.split("/") if part] or [""]
    if any(part in (".", "..") for part in (*folders, last, genre)):
        raise RefusedError(f"{name[:80]}: not a path inside a collection")
    file_name = safe_name(last, "unnamed")
    audio_suffix(file_name)
    parts = [safe_name(part, "unnamed") for part in ([genre] if genre else []) + folders]
    if len(parts) > MAX_DEPTH:
        raise RefusedError(f"{file_name}: {len(parts)} nested folders, the maximum is {MAX_DEPTH}")
    return [check_name(collection, "collection"), *parts, file_name]


def check_limits(settings: Settings, collection: str) -> None:
    """Check that a collection may have one more recording.

    Raises
    ------
    RefusedError
        If there are too many recordings, collections or bytes.
    """
    root, limits = settings.folder("uploads"), settings.limits
    folder = path_inside(root, collection)
    if folder.is_symlink():
        raise RefusedError(f"{collection}: is a link in the studio's data folder; choose another name", 409)
    files = _files(folder) if folder.is_dir() else []
    if len(files) >= limits.uploads:
        raise RefusedError(f"{collection}: has {len(files)} recordings, the maximum; use another collection", 507)
    if not folder.is_dir() and sum(p.is_dir() for p in root.iterdir()) >= limits.collections:
        raise RefusedError(f"there are {limits.collections} collections, the maximum; remove one first", 507)
    if size_of(root) + size_of(settings.folder("incoming")) >= limits.total_bytes:
        raise RefusedError("the uploads have reached their disk quota; remove a collection first", 507)
    _check_disk_space(settings)


def _check_disk_space(settings: Settings) -> None:
    if shutil.disk_usage(settings.data).free < settings.limits.upload_bytes // 4:
        raise RefusedError("the studio's disk is nearly full; free some space first", 507)


async def receive(settings: Settings, parts: AsyncIterator[bytes], name: str, content_length: int = 0) -> Received:
    """Receive an upload completely; one whose Content-Length is above the limit is refused at once.

    Raises
    ------
    RefusedError
        If the upload is too large or empty, or stalls.
    DiskFullError
    """
    max_bytes, written, digest = settings.limits.upload_bytes, 0, hashlib.sha256()
    too_large = RefusedError(f"{name}: the file is larger than {max_bytes >> 20} MiB", 413)
    if content_length > max_bytes:
        raise too_large
    path = settings.folder("incoming") / f"{secrets.token_hex(12)}{Path(name).suffix.lower()}"
    try:
        with path.open("xb", buffering=0) as handle:
            while True:
                try:
                    part = await asyncio.wait_for(anext(parts), STALL_TIMEOUT_S)
                except StopAsyncIteration:
                    break
                written += len(part)
                if written > max_bytes:
                    raise too_large
                if written // DISK_CHECK_BYTES != (written - len(part)) // DISK_CHECK_BYTES:
                    _check_disk_space(settings)  # parallel uploads may each have passed the first check
                digest.update(part)
                handle.write(part)
        if not written:
            raise RefusedError(f"{name}: the file is empty")
    except (TimeoutError, asyncio.TimeoutError) as error:
        path.unlink(missing_ok=True)
        raise RefusedError(f"{name}: no data was received for {STALL_TIMEOUT_S:.0f} s; try again", 408) from error
    except OSError as error:
        path.unlink(missing_ok=True)
        raise describe_os_error(error, name) from error
    except BaseException:  # such as a client that has disconnected
        path.unlink(missing_ok=True)
        raise
    return Received(path, written, digest.hexdigest())


def accept_recording(
    settings: Settings, parts: list[str], received: Received, timeout_s: float | None = None
) -> dict[str, Any]:
    """Check a recording by decoding it in a subprocess, and store it in its collection.

    Returns
    -------
    dict
        Its properties (see :func:`~noizenet.studio.decode_sandbox.probe`); ``stored``, its path in the collection; and
        ``already``, whether the same file was stored before.

    Raises
    ------
    DecodeTimeoutError
        If decoding takes longer than `timeout_s`; the received file is kept.
    AudioError
        If the file cannot be decoded; it is removed.
    """
    found = _decode(settings, received, parts[-1], timeout_s=timeout_s)
    try:
        stored, already = _store(settings, parts, received)
    finally:
        received.path.unlink(missing_ok=True)
    return {**found, "stored": stored, "already": already}


def accept_prompt(
    settings: Settings, name: str, received: Received, seconds: float, timeout_s: float | None = None
) -> dict[str, Any]:
    """Decode the last seconds of an audio file in a subprocess and store them as WAV; the oldest are evicted.

    Raises
    ------
    DecodeTimeoutError
        If decoding takes longer than `timeout_s`; the received file is kept.
    AudioError
        If the file cannot be decoded; it is removed.
    """
    folder, limits = settings.folder("seeds"), settings.limits
    evict_oldest(folder, limits.prompts - 1, limits.prompt_bytes)
    prompt = folder / f"{secrets.token_hex(8)}.wav"
    found = _decode(settings, received, name, last_seconds=seconds, keep=prompt, timeout_s=timeout_s)
    received.path.unlink(missing_ok=True)
    return {"song": prompt.name, **found}


def _decode(settings: Settings, received: Received, name: str, **options: Any) -> dict[str, Any]:
    """Decode a file; it is kept after success or a timeout, and removed after another error."""
    try:
        return probe(received.path, settings.limits, name, **options)
    except DecodeTimeoutError:
        raise
    except BaseException:
        received.path.unlink(missing_ok=True)
        raise


def _store(settings: Settings, parts: list[str], received: Received) -> tuple[str, bool]:
    """Move a file to its path; return the path, and whether the same file was stored there before."""
    *folders, name = parts
    with _store_lock:  # parallel uploads of one name get different names
        check_limits(settings, folders[0])
        root = settings.folder("uploads")
        folder = path_inside(root, *folders)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(1, settings.limits.uploads + 2):
                path = folder / (name if number == 1 else numbered_name(name, number))
                if not os.path.lexists(path):
                    received.path.replace(path)
                    return path.relative_to(root / folders[0]).as_posix(), False
                if path.is_file() and path.stat().st_size == received.size and _digest(path) == received.digest:
                    return path.relative_to(root / folders[0]).as_posix(), True
        except OSError as error:
            raise describe_os_error(error, name) from error
    raise RefusedError(f"{name}: too many recordings have this name; choose another", 409)


def remove(settings: Settings, collection: str) -> None:
    """Remove a collection's recordings."""
    with _store_lock, contextlib.suppress(OSError):
        shutil.rmtree(path_inside(settings.folder("uploads"), collection))


def collections(settings: Settings) -> list[dict[str, Any]]:
    """Return the collections with their files, bytes and genres."""
    found = []
    for folder in sorted(p for p in settings.folder("uploads").iterdir() if _is_real_folder(p)):
        files = _files(folder)
        genres = sorted({p.relative_to(folder).parts[0] for p in files if len(p.relative_to(folder).parts) > 1})
        found.append({"name": folder.name, "files": len(files), "bytes": sum(p.stat().st_size for p in files),
                      "genres": genres})  # fmt: skip
    return found


def _files(folder: Path) -> list[Path]:
    """Return the uploaded files; links are not followed, since they may lead out of the data folder."""
    found = []
    for parent, folders, names in os.walk(folder):  # does not follow links
        folders.sort()
        paths = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        found += [p for p in paths if p.is_file() and not p.is_symlink()]
    return found


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while part := handle.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
