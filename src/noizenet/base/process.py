"""Process settings of the command line, made before heavy imports. As a library, noizenet changes none of them."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from noizenet.base.errors import NoizenetError

WAITING = {"GOMP_SPINCOUNT": "100000", "KMP_BLOCKTIME": "1"}
"""How long OpenMP threads spin while they wait for one another, unless the user sets it.

The default is long. On a busy machine the spinning threads keep the thread that they wait for from running. GNU's
implementation (in torch's wheels for Linux) counts loop iterations, Intel's and LLVM's counts milliseconds.
`benchmarks/busy.py` measures the effect.
"""
CHOICES = ("OMP_WAIT_POLICY", *WAITING)
"""If the user has set any of these, noizenet sets none."""


def set_openmp_waiting(environment: Any = os.environ) -> None:
    """Shorten the spinning of OpenMP threads in this process and its children; call it before OpenMP is loaded."""
    if not any(name in environment for name in CHOICES):
        environment.update(WAITING)


def openmp_waiting() -> dict[str, str]:
    """Return the environment variables that control how OpenMP threads wait."""
    return {name: os.environ[name] for name in CHOICES if name in os.environ}


MIN_ADDRESS_SPACE = 300 << 20
"""Bytes; with less, libraries retry forever instead of failing."""


def memory_limit_problem() -> str:
    """Return a message if the memory limit of this process (``ulimit -v``) is too low, else ""."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY or limit >= MIN_ADDRESS_SPACE:
        return ""
    return (
        f"the memory of this process is limited to {limit >> 20} MiB (ulimit -v); "
        f"at least {MIN_ADDRESS_SPACE >> 20} MiB are needed, and 2,000 MiB for most commands"
    )


_signals: list[int] = []


def handle_termination_signals() -> None:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that no partial file and no worker process remains.

    Signals that the caller ignores (``nohup``) stay ignored.
    """

    def interrupt(number: int, _: object) -> None:
        _signals.append(number)
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)


def termination_signal() -> int:
    """Return the number of the first signal that :func:`handle_termination_signals` received, 0 for none."""
    return _signals[0] if _signals else 0


def escape_unprintable() -> None:
    """Print characters that the console cannot show as escapes instead of failing.

    A console of code page 1252 or ASCII cannot show "×" or a Cyrillic file name; no console can show the bytes of a
    file name that is not UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and getattr(stream, "errors", "") != "backslashreplace":
            with contextlib.suppress(ValueError, OSError):
                reconfigure(errors="backslashreplace")


_missing: set[str] = set()


def open_missing_streams() -> None:
    """Redirect closed standard streams (``>&-``, pythonw) to the null device."""
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            handle = Path(os.devnull).open(mode, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
            # Occupy the descriptor; otherwise the next opened file would become standard output.
            with contextlib.suppress(OSError):
                if handle.fileno() != number and not _is_open(number):
                    os.dup2(handle.fileno(), number)
            setattr(sys, name, handle)
            _missing.add(name)


def binary_output() -> BinaryIO:
    """Return standard output for bytes.

    Raises
    ------
    NoizenetError
        If it was closed when the process started.
    """
    if "stdout" in _missing:
        raise NoizenetError("standard output is closed, so no audio can be written to it; give a file or a pipe")
    return sys.stdout.buffer


def finish_streams() -> OSError | None:
    """Flush standard output and error; return the error if results were lost."""
    failure: OSError | None = None
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError as error:
            if stream is sys.stdout:  # a failure of standard error loses no results
                failure = error
            _drop(stream)
    return failure


def is_full(error: OSError) -> bool:
    """Whether the disk or the quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _drop(stream: Any) -> None:
    """Redirect a stream to the null device, because the interpreter flushes it again at exit."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
