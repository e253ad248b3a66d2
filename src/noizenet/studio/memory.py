"""Settings of the C library's allocator, so that freed memory returns to the system.

Several threads allocate and free arrays. glibc keeps a heap for each of them, and raises its mmap threshold when arrays
are freed, so that later arrays fragment these heaps. Few heaps and a fixed mmap threshold keep the resident memory
close to the memory in use. Other C libraries are left as they are.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MMAP_THRESHOLD_BYTES = 256 << 10


def configure_allocator() -> None:
    """Limit the heaps of this process; call once, before threads start."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(M_ARENA_MAX, 2)
            libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
            libc.mallopt(M_TRIM_THRESHOLD, 4 * MMAP_THRESHOLD_BYTES)


def release_memory() -> None:
    """Collect garbage and return free memory to the system; call after memory-intensive work.

    Unused instruments are in reference cycles (the exception of a lost connection refers to its frames). Python
    collects cycles seldom, since it does not count the megabytes that they hold.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def freeze_startup_objects() -> None:
    """Exclude all present objects from garbage collection, which then takes a tenth of the time."""
    gc.collect()
    gc.freeze()
