"""Folders of genre folders and flat folders of songs, and the scanner that finds recordings in a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from noizenet.audio.read import AUDIO_SUFFIXES
from noizenet.audio.sniff import ADVICE, UNREAD_SUFFIXES, VIDEO_ADVICE, has_audio_header, unsupported_video_in
from noizenet.base.errors import UsageError
from noizenet.base.names import escape_name, genre_name, relative_name
from noizenet.corpus.source import Problem, Scan, SourceTrack

SYSTEM_FILES = frozenset({".ds_store", ".directory", ".localized", "thumbs.db", "desktop.ini"})
"""Files that file managers leave in folders; they are not reported."""
UNFINISHED = frozenset({".part", ".partial", ".crdownload", ".download", ".tmp"})
"""Suffixes of unfinished downloads."""
SPECIAL_FILES = {
    stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


class FolderSource:
    """``folder/genre/…/song.*``; for songs directly in ``folder``, the genre is the folder's name."""

    licence: ClassVar[str] = "as the recordings' owners say; noizenet copies nothing beyond the corpus folder"
    citation: ClassVar[str] = "the owner's own recordings"
    checksums: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Return whether `folder` is a folder; any layout is accepted."""
        return folder.is_dir()

    @classmethod
    def scan(cls, folder: Path, *, exclude: Path) -> Scan:
        """List the recordings and the skipped files; see :func:`scan_recordings`."""
        paths, problems = scan_recordings(folder, exclude)
        parts = [path.relative_to(folder).parts for path in paths]
        default_genre = genre_name(folder.resolve().name) or "music"
        genres = {p[0]: genre_name(p[0]) or default_genre for p in parts if len(p) > 1}
        tracks = [
            SourceTrack(path=path, genre=genres[p[0]] if len(p) > 1 else default_genre)
            for path, p in zip(paths, parts, strict=True)
        ]
        return Scan(tracks, [*problems, *_genre_repairs(genres)])


def scan_recordings(folder: Path, exclude: Path | None = None) -> tuple[list[Path], list[Problem]]:
    """Find the recordings below a folder.

    Every command that reads a folder of recordings uses this scanner, so that all select the same files.

    Parameters
    ----------
    folder : Path
        The folder to scan. Links are followed; each folder is visited once.
    exclude : Path, optional
        A folder to leave out, for output folders below the recordings.

    Returns
    -------
    tuple of (list of Path, list of Problem)
        Regular files with a suffix in :data:`noizenet.audio.read.AUDIO_SUFFIXES` or the first bytes of an audio
        format, in a stable order; and one problem for everything else: other files, hidden files, pipes and devices,
        unreadable folders, corpus and model folders, and folders directly below `folder` without recordings.

    Raises
    ------
    UsageError
        If the folder itself cannot be read.
    """
    try:
        os.listdir(folder)  # noqa: PTH208 - only the error matters
    except OSError as error:
        raise UsageError(
            f"{escape_name(str(folder))}: the folder cannot be read ({error.strerror}); check its permissions"
        ) from error
    paths: list[Path] = []
    problems: list[Problem] = []
    for path, reason, action in _walk(folder, exclude):
        if not reason:
            paths.append(path)
        else:
            problems.append(Problem(relative_name(path, folder), reason, action))
    return paths, problems + _empty_folders(folder, exclude, paths, problems)


def is_corpus(folder: Path) -> bool:
    """Return whether a folder is a corpus, complete or unfinished."""
    return os.path.isdir(folder / "audio") and _has_file(folder, "corpus.json", "tracks.csv", ".lock")  # noqa: PTH112


def is_model(folder: Path) -> bool:
    """Return whether a folder is a model or an unfinished training run."""
    return _has_file(folder, "model.json", "resume.safetensors")


def _has_file(folder: Path, *names: str) -> bool:
    # Path.is_file raises an error if the path is too long.
    return any(os.path.isfile(folder / name) for name in names)  # noqa: PTH113


def _walk(folder: Path, exclude: Path | None) -> Iterator[tuple[Path, str, str]]:
    """Yield (path, reason, action) for everything below `folder`; the reason is empty for a recording."""
    seen = {_identity(folder)}
    excluded = _identity(exclude) if exclude is not None else None
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            with os.scandir(current) as found:
                entries = sorted(found, key=lambda e: e.name)
        except OSError as error:
            yield current, f"the folder cannot be read ({error.strerror})", "skipped"
            continue
        below: list[Path] = []
        for entry in entries:
            path = current / entry.name
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError as error:  # a link that leads to itself
                yield path, f"cannot be examined ({error.strerror})", "skipped"
                continue
            if not is_folder:
                verdict = _classify_file(path, is_file=is_file)
                if verdict is not None:
                    yield path, *verdict
                continue
            identity = _identity(path)
            if identity is not None and identity == excluded:
                continue
            reason = _folder_problem(path, seen_before=identity in seen)
            if reason:
                yield path, reason, "ignored"
            else:
                seen.add(identity)
                below.append(path)
        pending += reversed(below)


def _classify_file(path: Path, *, is_file: bool) -> tuple[str, str] | None:
    """Return reason and action for a file: an empty reason for a recording, None if the file is not reported."""
    name = path.name
    if name.lower() in SYSTEM_FILES:
        return None
    if not is_file:
        return _describe_special_file(path), "skipped"
    if name.startswith("._"):
        return "a resource fork of macOS, not the file itself", "ignored"
    if _is_hidden(name) and path.suffix.lower() == ".icloud":
        return "stored in iCloud, not on this disk; download it (in Finder) and build again", "skipped"
    if _is_hidden(name):
        return "a hidden file (its name begins with a dot); rename it to include it", "ignored"
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        if path.suffix.lower() == ".m4p":
            return "an encrypted iTunes purchase; only Apple's programs play it", "skipped"
        if path.suffix.lower() in UNFINISHED:
            return "an unfinished download, by its suffix; finish the download and build again", "ignored"
        if video := unsupported_video_in(path):
            return f"{video}; {VIDEO_ADVICE}", "skipped"
        if not has_audio_header(path):
            if path.suffix.lower() in UNREAD_SUFFIXES:
                return (
                    f"an audio format that is not supported ({path.suffix.lower()}, by its suffix); {ADVICE}",
                    "skipped",
                )
            return "not an audio file (by its suffix and its first bytes)", "ignored"
    return "", ""


def _folder_problem(path: Path, *, seen_before: bool) -> str:
    if _is_hidden(path.name):
        return "a hidden folder (its name begins with a dot); rename it to include it"
    if seen_before:
        return "a link to a folder that was already scanned"
    if is_corpus(path):
        return "a corpus folder of noizenet, not recordings; build from the recordings themselves"
    if is_model(path):
        return "a model folder of noizenet, not recordings"
    return ""


def _is_hidden(name: str) -> bool:
    """One leading dot hides a name; "...Baby One More Time" and "...And Justice for All" are ordinary names."""
    return name.startswith(".") and not name.startswith("..")


def _describe_special_file(path: Path) -> str:
    try:
        kind = SPECIAL_FILES.get(stat.S_IFMT(path.stat().st_mode), "a special file")
    except OSError as error:
        return f"a broken link ({error.strerror})" if path.is_symlink() else f"unreadable ({error.strerror})"
    return f"{kind}, not a regular file"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _empty_folders(folder: Path, exclude: Path | None, paths: list[Path], problems: list[Problem]) -> list[Problem]:
    """List the folders directly below `folder` without recordings that have not been reported yet."""
    with_recordings = {p.relative_to(folder).parts[0] for p in paths}
    reported = {p.path for p in problems}
    excluded = _identity(exclude) if exclude is not None else None
    found = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            name = escape_name(entry.name)
            empty = entry.name not in with_recordings and name not in reported and not _is_hidden(entry.name)
            if empty and entry.is_dir() and _identity(folder / entry.name) != excluded:
                found.append(Problem(name, "a folder without recordings", "ignored"))
    return found


def _genre_repairs(genres: Mapping[str, str]) -> list[Problem]:
    """List folders whose genre differs from their name, and folders that share a genre."""
    groups: dict[str, list[str]] = {}
    for folder, genre in genres.items():
        groups.setdefault(genre, []).append(folder)
    found = []
    for genre, folders in groups.items():
        for folder in folders:
            if len(folders) > 1:
                others = ", ".join(repr(escape_name(f)) for f in folders if f != folder)
                reason = f"merged into the genre {genre!r} with the folder {others}"
            elif folder != folder.strip():
                reason = f"assigned to the genre {genre!r}: spaces at both ends of the name are removed"
            else:
                continue
            found.append(Problem(escape_name(folder), reason, "repaired"))
    return found
