"""Recordings that a visitor gives: to learn from, or to go on from. Counted, measured, and decoded elsewhere.

What comes lies in ``incoming`` until a process of its own has decoded all of it; then it gets its name. Nothing is
overwritten: a name that is taken by other sound gets a number, the same sound under the same name is there already.
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
from noizenet.studio.decode_sandbox import SlowError, probe
from noizenet.studio.names import checked, inside, numbered, safe_name
from noizenet.studio.quotas import make_room, size_of
from noizenet.studio.refusals import RefusedError, explain
from noizenet.studio.settings import Settings

STALLED_S = 30.0
"""An upload of which nothing comes for so long is given up."""

LOOK_EVERY_BYTES = 8 << 20
"""Of an upload come in, between two looks at the free room."""

SUFFIXES = AUDIO_SUFFIXES | {".mkv", ".mov", ".m4v", ".ogv", ".wmv"}
"""Those of sound files, and of films, of which the first sound track is read."""

DEEPEST = 8
"""Folders below a collection."""

_storing = threading.Lock()


@dataclass(frozen=True)
class Received:
    """A file that came in whole: where it lies for now, its bytes, their SHA-256."""

    path: Path
    size: int
    digest: str


def sound_suffix(name: str) -> str:
    """Return the ending of a sound file's name.

    Raises
    ------
    UsageError
        For an ending that no sound file has.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{name}: not a sound file by its ending; known are {' '.join(sorted(SUFFIXES))}")
    return suffix


def place_of(collection: str, genre: str, name: str) -> list[str]:
    """Return collection, folders and file name of an upload, each as it can be kept.

    Parameters
    ----------
    collection, genre : str
        The genre, where one is given, is the first folder.
    name : str
        A file's name, or its path below the folder that was chosen: ``rock/CD1/01.wav``.

    Raises
    ------
    UsageError
        For a collection that has no allowed name, an ending that no sound file has, or folders too deep.
    """
    *folders, last = [part for part in name.split("/") if part] or [""]
    if any(part in (".", "..") for part in (*folders, last, genre)):
        raise RefusedError(f"{name[:80]}: not a path below a collection")
    kept = safe_name(last, "unnamed")
    sound_suffix(kept)
    parts = [safe_name(part, "unnamed") for part in ([genre] if genre else []) + folders]
    if len(parts) > DEEPEST:
        raise RefusedError(f"{kept}: lies {len(parts)} folders deep, {DEEPEST} at most")
    return [checked(collection, "collection"), *parts, kept]


def admit(settings: Settings, collection: str) -> None:
    """Make sure that a collection may take one more recording.

    Raises
    ------
    RefusedError
        If there are too many recordings, collections or bytes.
    """
    root, limits = settings.folder("uploads"), settings.limits
    folder = inside(root, collection)
    if folder.is_symlink():
        raise RefusedError(f"{collection}: is a link in the studio's data; choose another name", 409)
    held = _files(folder) if folder.is_dir() else []
    if len(held) >= limits.uploads:
        raise RefusedError(f"{collection}: holds {len(held)} recordings already, the most that it may", 507)
    if not folder.is_dir() and sum(p.is_dir() for p in root.iterdir()) >= limits.collections:
        raise RefusedError(f"there are {limits.collections} collections, the most that may be; remove one first", 507)
    if size_of(root) + size_of(settings.folder("incoming")) >= limits.total_bytes:
        raise RefusedError("the studio holds as much as it may; remove a collection first", 507)
    _check_room(settings)


def _check_room(settings: Settings) -> None:
    if shutil.disk_usage(settings.data).free < settings.limits.upload_bytes // 4:
        raise RefusedError("the disk of the studio is nearly full; free some space first", 507)


async def receive(settings: Settings, parts: AsyncIterator[bytes], name: str, announced: int = 0) -> Received:
    """Take in an upload, whole or not at all; one that is announced as larger than it may be is not waited for.

    Raises
    ------
    RefusedError
        If it is larger than it may be, or empty, or nothing comes any more.
    DiskFullError
    """
    most, written, digest = settings.limits.upload_bytes, 0, hashlib.sha256()
    too_large = RefusedError(f"{name}: larger than {most >> 20} MiB", 413)
    if announced > most:
        raise too_large
    path = settings.folder("incoming") / f"{secrets.token_hex(12)}{Path(name).suffix.lower()}"
    try:
        with path.open("xb", buffering=0) as handle:
            while True:
                try:
                    part = await asyncio.wait_for(anext(parts), STALLED_S)
                except StopAsyncIteration:
                    break
                written += len(part)
                if written > most:
                    raise too_large
                if written // LOOK_EVERY_BYTES != (written - len(part)) // LOOK_EVERY_BYTES:
                    _check_room(settings)  # many that come at once are each admitted while there is room
                digest.update(part)
                handle.write(part)
        if not written:
            raise RefusedError(f"{name}: is empty")
    except (TimeoutError, asyncio.TimeoutError) as error:
        path.unlink(missing_ok=True)
        raise RefusedError(f"{name}: nothing came for {STALLED_S:.0f} s; try again", 408) from error
    except OSError as error:
        path.unlink(missing_ok=True)
        raise explain(error, name) from error
    except BaseException:  # the visitor has gone, say
        path.unlink(missing_ok=True)
        raise
    return Received(path, written, digest.hexdigest())


def accept(settings: Settings, place: list[str], received: Received, patience_s: float | None = None) -> dict[str, Any]:
    """Have a recording decoded elsewhere and keep it in its collection.

    Returns
    -------
    dict
        What it is (see :func:`~noizenet.studio.decode_sandbox.probe`), and ``stored``: where it lies below the
        collection, ``already``: whether the same sound lay there before.

    Raises
    ------
    SlowError
        If it takes longer than `patience_s`; what was received is kept.
    AudioError
        Says what is wrong with it; nothing is kept then.
    """
    found = _probed(settings, received, place[-1], patience_s=patience_s)
    try:
        stored, already = _store(settings, place, received)
    finally:
        received.path.unlink(missing_ok=True)
    return {**found, "stored": stored, "already": already}


def accept_seed(
    settings: Settings, name: str, received: Received, seconds: float, patience_s: float | None = None
) -> dict[str, Any]:
    """Have a song's last seconds decoded elsewhere and keep those as a plain wav; the oldest songs make room.

    Raises
    ------
    SlowError
        If it takes longer than `patience_s`; what was received is kept.
    AudioError
        Says what is wrong with it; nothing is kept then.
    """
    folder, limits = settings.folder("seeds"), settings.limits
    make_room(folder, limits.seeds - 1, limits.seed_bytes)
    song = folder / f"{secrets.token_hex(8)}.wav"
    found = _probed(settings, received, name, last_seconds=seconds, keep=song, patience_s=patience_s)
    received.path.unlink(missing_ok=True)
    return {"song": song.name, **found}


def _probed(settings: Settings, received: Received, name: str, **options: Any) -> dict[str, Any]:
    """Have a file decoded; it stays where it is if that goes well, or is tried again with more patience."""
    try:
        return probe(received.path, settings.limits, name, **options)
    except SlowError:
        raise
    except BaseException:
        received.path.unlink(missing_ok=True)
        raise


def _store(settings: Settings, place: list[str], received: Received) -> tuple[str, bool]:
    """Give a file its name; return it, and whether the same file had it before."""
    *folders, name = place
    with _storing:  # two uploads of one name at once get two names
        admit(settings, folders[0])
        root = settings.folder("uploads")
        folder = inside(root, *folders)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(1, settings.limits.uploads + 2):
                path = folder / (name if number == 1 else numbered(name, number))
                if not os.path.lexists(path):
                    received.path.replace(path)
                    return path.relative_to(root / folders[0]).as_posix(), False
                if path.is_file() and path.stat().st_size == received.size and _digest(path) == received.digest:
                    return path.relative_to(root / folders[0]).as_posix(), True
        except OSError as error:
            raise explain(error, name) from error
    raise RefusedError(f"{name}: so many recordings have this name already; choose another", 409)


def remove(settings: Settings, collection: str) -> None:
    """Remove a collection's recordings."""
    with _storing, contextlib.suppress(OSError):
        shutil.rmtree(inside(settings.folder("uploads"), collection))


def collections(settings: Settings) -> list[dict[str, Any]]:
    """Return the collections and what they hold."""
    found = []
    for folder in sorted(p for p in settings.folder("uploads").iterdir() if _is_own_folder(p)):
        files = _files(folder)
        genres = sorted({p.relative_to(folder).parts[0] for p in files if len(p.relative_to(folder).parts) > 1})
        found.append({"name": folder.name, "files": len(files), "bytes": sum(p.stat().st_size for p in files),
                      "genres": genres})  # fmt: skip
    return found


def _files(folder: Path) -> list[Path]:
    """Return what was uploaded; no link is followed, since it may lead out of the studio's data."""
    found = []
    for place, folders, names in os.walk(folder):  # which does not enter folders that are links
        folders.sort()
        paths = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        found += [p for p in paths if p.is_file() and not p.is_symlink()]
    return found


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while part := handle.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
