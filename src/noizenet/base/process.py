"""What a process of noizenet's own sets before anything heavy is loaded. A library user's process is left alone."""

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
"""How long OpenMP's threads wait for one another by spinning, unless the user says otherwise.

By default they spin for long. Beside other work the thread that they wait for does not run, and they keep it from
running. GNU's counts turns of a loop (torch's wheels for Linux have that one), Intel's and LLVM's counts milliseconds.
`benchmarks/busy.py` measures it.
"""
CHOICES = ("OMP_WAIT_POLICY", *WAITING)
"""Any of these is a choice of the user's, and wins."""


def set_openmp_waiting(environment: Any = os.environ) -> None:
    """Let OpenMP's threads sleep sooner than they would, where OpenMP has not been loaded: here, and in children."""
    if not any(name in environment for name in CHOICES):
        environment.update(WAITING)


def openmp_waiting() -> dict[str, str]:
    """Return what the environment says of how OpenMP's threads wait; empty where it says nothing."""
    return {name: os.environ[name] for name in CHOICES if name in os.environ}


MIN_ADDRESS_SPACE = 300 << 20
"""Bytes; with less the libraries that noizenet loads do not fail: they try again for ever."""


def memory_limit_problem() -> str:
    """Return what is wrong with the limit of this process's memory (``ulimit -v``); empty if nothing is."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY or limit >= MIN_ADDRESS_SPACE:
        return ""
    return (
        f"the memory of this process is limited to {limit >> 20} MiB (ulimit -v); "
        f"it needs {MIN_ADDRESS_SPACE >> 20} at the very least, and 2,000 for most commands"
    )


_signals: list[int] = []


def handle_termination_signals() -> None:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, so that nothing half-written and no worker is left behind.

    What the caller has set to be ignored (``nohup``) stays so.
    """

    def interrupt(number: int, _: object) -> None:
        _signals.append(number)
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)


def termination_signal() -> int:
    """Return the number of the signal of :func:`handle_termination_signals` that came, 0 for none."""
    return _signals[0] if _signals else 0


def escape_unprintable() -> None:
    """Print what the console cannot show as escapes, instead of failing.

    A console of code page 1252 or of ASCII has no "×" and no Cyrillic file name; a file name that is not UTF-8 has
    bytes that no console shows.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and getattr(stream, "errors", "") != "backslashreplace":
            with contextlib.suppress(ValueError, OSError):
                reconfigure(errors="backslashreplace")


_missing: set[str] = set()


def open_missing_streams() -> None:
    """Give standard streams that were closed (``>&-``, pythonw) somewhere to go: nowhere."""
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            handle = Path(os.devnull).open(mode, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
            # Take the free number, or the next file that is opened becomes standard output.
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
        If it was closed when the process began.
    """
    if "stdout" in _missing:
        raise NoizenetError("standard output is closed, where the sound was to go; give a file, or a pipe")
    return sys.stdout.buffer


def finish_streams() -> OSError | None:
    """Write out what was printed; return why results are lost, and leave nothing for the interpreter to complain of."""
    trouble: OSError | None = None
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError as error:
            if stream is sys.stdout:  # without standard error nothing is lost but words
                trouble = error
            _drop(stream)
    return trouble


def is_full(error: OSError) -> bool:
    """Whether a disk is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _drop(stream: Any) -> None:
    """Send what a stream still holds to nowhere: the interpreter flushes it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
