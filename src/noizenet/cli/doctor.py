"""``noizenet doctor``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from noizenet.base.errors import NoizenetError
from noizenet.cli.output import print_json, print_table

MIN_FREE_GB = 2.0


def doctor(json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Look whether this machine has all that noizenet needs, and say what is missing."""
    checks = [_python(), _libraries(), _processor(), _formats(), _ffmpeg(), _sound_card(), _cache(), _disk()]
    if json:
        print_json({"checks": [{"name": n, "ok": ok, "detail": d} for n, ok, d in checks]})
    else:
        rows = [[name, {True: "ok", False: "MISSING", None: "optional"}[ok], text] for name, ok, text in checks]
        print_table("", ["", "", ""], rows)
    if any(ok is False for _, ok, _ in checks):
        raise NoizenetError("something that noizenet needs is missing (see above)")


Check = tuple[str, bool | None, str]


def _python() -> Check:
    import platform
    import sys

    return "python", sys.version_info >= (3, 10), f"{platform.python_version()} on {platform.machine()}"


def _libraries() -> Check:
    import importlib

    found, missing = [], []
    for name in ("numpy", "torch", "numba", "soundfile", "soxr", "librosa", "matplotlib", "safetensors"):
        try:
            module: Any = importlib.import_module(name)
            found.append(f"{name} {module.__version__}")
        except ImportError:
            missing.append(name)
    if missing:
        return "libraries", False, f"cannot import {', '.join(missing)}; install noizenet again"
    return "libraries", True, ", ".join(found)


def _processor() -> Check:
    import os

    from noizenet.training.precision import has_bf16

    return (
        "processor",
        True,
        f"{os.cpu_count()} cores, bfloat16 {'yes' if has_bf16() else 'no (training is slower)'}",
    )


def _formats() -> Check:
    import soundfile

    known = soundfile.available_formats()
    wanted = {"WAV", "FLAC", "OGG", "MP3"}
    missing = wanted - set(known)
    return (
        "audio formats",
        not missing,
        f"libsndfile {soundfile.__libsndfile_version__}"
        + (f" lacks {', '.join(sorted(missing))}" if missing else ": wav, flac, ogg, opus, mp3"),
    )


def _ffmpeg() -> Check:
    import shutil

    there = shutil.which("ffmpeg") and shutil.which("ffprobe")
    return (
        "ffmpeg",
        True if there else None,
        "found" if there else "not found: m4a, aac and wma cannot be read",
    )


def _sound_card() -> Check:
    try:
        import sounddevice

        name = sounddevice.query_devices(kind="output")["name"]
    except Exception:  # no library, no PortAudio, no card: all mean the same here
        return "sound card", None, "none: 'noizenet play' needs --out -"
    return "sound card", True, str(name)


def _cache() -> Check:
    import os
    from pathlib import Path

    import noizenet.model

    place = os.environ.get("NUMBA_CACHE_DIR") or str(Path(noizenet.model.__file__).parent)
    good = os.access(place, os.W_OK)
    text = "compiled kernels are kept" if good else f"{place} is not writable: set NUMBA_CACHE_DIR for a faster start"
    return "kernel cache", True if good else None, text


def _disk() -> Check:
    import shutil

    free = shutil.disk_usage(".").free / 1e9
    return "disk", free >= MIN_FREE_GB, f"{free:.1f} GB free here"
