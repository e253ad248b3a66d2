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
from noizenet.cli.output import print_json, print_table, say

MIN_FREE_GB = 2.0
FORMATS = {
    "mp3": ("mp3", "mp3float"), "aac (m4a)": ("aac",), "opus": ("opus", "libopus"), "vorbis": ("vorbis",),
    "flac": ("flac",), "alac": ("alac",), "wma": ("wmav2",),
}  # fmt: skip
"""What people have, and the decoders of FFmpeg that read it (any one is enough)."""

Check = tuple[str, bool | None, str]
"""What was looked at; whether it is well (None: it may be missing); what was found."""


def doctor(
    compile: Annotated[bool, typer.Option("--compile", help="Compile all kernels now.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look whether this machine has all that noizenet needs, and say what is missing.

    Exit code 1 where something that it needs is missing.
    """
    libraries = _libraries()
    checks = [_python(), libraries]
    if libraries[1]:
        if compile:
            _compile()
        checks += [_processor(), _waiting(), _decoders(), _sound_files(), _cache()]
    checks += [_sound_card(), _disk()]
    if json:
        print_json({"checks": [{"name": n, "ok": ok, "detail": d} for n, ok, d in checks]})
    else:
        rows = [[name, {True: "ok", False: "MISSING", None: "note"}[ok], text] for name, ok, text in checks]
        print_table("", ["", "", ""], rows)
    if any(ok is False for _, ok, _ in checks):
        raise NoizenetError("something that noizenet needs is missing (see above)")


def _compile() -> None:
    import time

    from noizenet.api.compiling import compile_kernels

    begun = time.monotonic()
    state = compile_kernels()
    kept = f"{state.count} functions are kept in {state.folder}" if state.folder else "nothing could be kept"
    say(f"compiled in {time.monotonic() - begun:.0f} s; {kept}")


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
        except (ImportError, OSError) as error:  # OSError: a library that it loads is missing
            missing.append(f"{name} ({' '.join(str(error).split())[:80]})")
    if missing:
        return "libraries", False, f"cannot import {', '.join(missing)}; install noizenet again"
    return "libraries", True, ", ".join(found)


def _processor() -> Check:
    from noizenet.training.precision import has_bf16

    return (
        "processor",
        True,
        f"{os.cpu_count()} cores, bfloat16 {'yes' if has_bf16() else 'no (training is slower)'}",
    )


def _waiting() -> Check:
    """Say how threads wait for one another: here, and in a program that uses noizenet as a library."""
    said = ", ".join(f"{k}={v}" for k, v in process.openmp_waiting().items())
    advice = " ".join(f"{k}={v}" for k, v in process.WAITING.items())
    if process.openmp_waiting() == process.WAITING:
        return (
            "threads", True, f"they spin for a moment only while they wait, then sleep ({said}); "
            "set the same where your own program imports noizenet",
        )  # fmt: skip
    if not said:
        return "threads", None, f"they spin while they wait, which is slow beside other work: set {advice}"
    return "threads", True, f"they wait as your environment says ({said})"


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
    except Exception:  # no library, no PortAudio, no card: all mean the same here
        return "sound card", None, "none: 'noizenet play' needs --out -"
    return "sound card", True, str(name)


def _cache() -> Check:
    from noizenet.api.compiling import kernel_cache

    state = kernel_cache()
    if state.folder is None:
        return "kernel cache", None, f"none, so every start compiles for half a minute: {state.reason}"
    text = f"{state.count} compiled functions, {state.size / 1e6:.1f} MB, in {state.folder}"
    if state.temporary:
        text += f" (a folder for temporary files, because of {state.reason})"
    if not state.count:
        text += ": the first start compiles, or noizenet doctor --compile"
    if state.damaged:
        text += f"; {state.damaged} damaged, which will be compiled again"
    if not state.writable:
        return "kernel cache", None, f"{text}; nothing can be added: {state.reason}"
    if state.temporary:
        return "kernel cache", None, text
    return "kernel cache", True, text


def _disk() -> Check:
    try:
        free = shutil.disk_usage(".").free / 1e9
    except OSError as error:
        return "disk", None, f"cannot be asked here: {error.strerror or error}"
    return "disk", free >= MIN_FREE_GB, f"{free:.1f} GB free here"
