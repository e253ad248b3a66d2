"""``noizenet doctor``."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from typing import Annotated, Any

import typer

from noizenet.base import process
from noizenet.base.errors import NoizenetError
from noizenet.cli.output import print_json, print_message, print_table

MIN_FREE_GB = 2.0
FORMATS = {
    "mp3": ("mp3", "mp3float"), "aac (m4a)": ("aac",), "opus": ("opus", "libopus"), "vorbis": ("vorbis",),
    "flac": ("flac",), "alac": ("alac",), "wma": ("wmav2",),
}  # fmt: skip
"""Common formats, and FFmpeg's decoders for each (one is enough)."""

Check = tuple[str, bool | None, str]
"""Name of a check; whether it passed (None: optional and missing); details."""


def doctor(
    compile: Annotated[bool, typer.Option("--compile", help="Compile all kernels now.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check that this computer has everything that noizenet needs.

    The exit code is 1 if a requirement is missing.
    """
    libraries = _libraries()
    checks = [_python(), libraries]
    if libraries[1]:
        if compile:
            _compile()
        checks += [_processor(), _threads(), _decoders(), _sound_files(), _cache()]
    checks += [_sound_card(), _disk()]
    if json:
        print_json({"checks": [{"name": n, "ok": ok, "detail": d} for n, ok, d in checks]})
    else:
        rows = [[name, {True: "ok", False: "MISSING", None: "note"}[ok], text] for name, ok, text in checks]
        print_table("", ["", "", ""], rows)
    if any(ok is False for _, ok, _ in checks):
        raise NoizenetError("a requirement of noizenet is missing (see above)")


def _compile() -> None:
    import time

    from noizenet.api.compiling import compile_kernels

    started = time.monotonic()
    state = compile_kernels()
    cached = f"{state.count} functions are cached in {state.folder}" if state.folder else "nothing could be cached"
    print_message(f"compiled in {time.monotonic() - started:.0f} s; {cached}")


def _python() -> Check:
    import platform

    text = f"{platform.python_version()} on {platform.machine()}, {platform.system()}"
    return "python", sys.version_info >= (3, 10), text


def _libraries() -> Check:
    found, missing = [], []
    for name in ("numpy", "torch", "numba", "av", "soundfile", "soxr", "librosa", "matplotlib", "safetensors"):
        try:
            module: Any = importlib.import_module(name)
            found.append(f"{name} {module.__version__}")
        except (ImportError, OSError) as error:  # OSError: a shared library is missing
            missing.append(f"{name} ({' '.join(str(error).split())[:80]})")
    if missing:
        return "libraries", False, f"cannot import {', '.join(missing)}; reinstall noizenet"
    return "libraries", True, ", ".join(found)


def _processor() -> Check:
    from noizenet.training.precision import has_bf16

    return (
        "processor",
        True,
        f"{os.cpu_count()} cores, bfloat16 {'yes' if has_bf16() else 'no (training is slower)'}",
    )


def _threads() -> Check:
    """Check how OpenMP's threads wait for each other."""
    settings = ", ".join(f"{k}={v}" for k, v in process.openmp_waiting().items())
    advice = " ".join(f"{k}={v}" for k, v in process.WAITING.items())
    if process.openmp_waiting() == process.WAITING:
        return (
            "threads", True, f"waiting threads spin briefly, then sleep ({settings}); "
            "set the same variables for programs that import noizenet",
        )  # fmt: skip
    if not settings:
        return "threads", None, f"waiting threads spin, which is slow while other programs run; set {advice}"
    return "threads", True, f"waiting threads follow the environment ({settings})"


def _decoders() -> Check:
    import av

    known = set(av.codecs_available)
    missing = [name for name, decoders in FORMATS.items() if not known & set(decoders)]
    version = ".".join(str(n) for n in av.library_versions.get("libavcodec", ()))
    text = f"PyAV {av.__version__} with FFmpeg's libavcodec {version}"
    if missing:
        return "decoders", False, f"{text} lacks {', '.join(missing)}; install PyAV from its wheel (pip install av)"
    return "decoders", True, f"{text}: {', '.join(FORMATS)}; no ffmpeg program is needed"


def _sound_files() -> Check:
    import soundfile

    wanted = {"WAV", "FLAC", "OGG", "MP3"}
    missing = wanted - set(soundfile.available_formats())
    text = f"libsndfile {soundfile.__libsndfile_version__}"
    if missing:
        return "sound files", False, f"{text} lacks {', '.join(sorted(missing))}; install soundfile from its wheel"
    return "sound files", True, f"{text}: wav, flac, ogg, mp3"


def _sound_card() -> Check:
    try:
        import sounddevice

        name = sounddevice.query_devices(kind="output")["name"]
    except Exception:  # no library, no PortAudio or no sound card
        return "sound card", None, "none: 'noizenet play' needs --out -"
    return "sound card", True, str(name)


def _cache() -> Check:
    from noizenet.api.compiling import kernel_cache

    state = kernel_cache()
    if state.folder is None:
        return "kernel cache", None, f"none, so every start compiles for half a minute; {state.reason}"
    text = f"{state.count} compiled functions, {state.size / 1e6:.1f} MB, in {state.folder}"
    if state.temporary:
        text += f" (a temporary folder, because of {state.reason})"
    if not state.count:
        text += "; the first start compiles them, or noizenet doctor --compile"
    if state.damaged:
        text += f"; {state.damaged} are damaged and will be compiled again"
    if not state.writable:
        return "kernel cache", None, f"{text}; nothing can be added: {state.reason}"
    if state.temporary:
        return "kernel cache", None, text
    return "kernel cache", True, text


def _disk() -> Check:
    try:
        free = shutil.disk_usage(".").free / 1e9
    except OSError as error:
        return "disk", None, f"free space is unknown: {error.strerror or error}"
    return "disk", free >= MIN_FREE_GB, f"{free:.1f} GB free in the working directory"
