"""The C library's allocator, told to give back what is free: arrays come and go in several threads here.

glibc keeps one heap for each thread that allocates, and learns from freed arrays to put the next ones on those heaps,
where they leave holes. One heap for all and a fixed limit above which an array is mapped on its own keep the resident
memory at what is in use. On other C libraries nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MAPPED_BYTES = 256 << 10


def settle_allocator() -> None:
    """Limit the heaps of this process; called once, before threads begin."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(M_ARENA_MAX, 2)
            libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
            libc.mallopt(M_TRIM_THRESHOLD, 4 * MAPPED_BYTES)


def give_back() -> None:
    """Return free memory to the system, after work that needed much of it.

    Instruments that are no longer played hang in circles of references (a lost connection's error names its frames):
    Python looks for those seldom, and does not know that they hold megabytes.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def begin_counting() -> None:
    """Leave out what is there by now when circles of references are looked for: that takes a tenth of the time then."""
    gc.collect()
    gc.freeze()
