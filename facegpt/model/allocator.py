"""The allocator of the C library, told to keep what is freed for the next micro-batch."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of `mallopt` (malloc.h of glibc)."""
LARGEST_KEPT = 256 << 20
"""Bytes from which on an allocation is still a mapping of its own, which goes back to the system when it is freed."""
KEPT = 1 << 30
"""Bytes at the end of the heap beyond which freed memory goes back to the system."""
STEP = 64 << 20
"""Bytes by which the heap grows."""


def keep_freed_memory() -> bool:
    """Lets the process keep freed memory, up to `KEPT` bytes, instead of handing it back and asking for it again.

    The tensors of a micro-batch take some megabytes each. As mappings of their own, which they are by default, the
    kernel clears each page of each of them at its first touch: a fifth of an annotator's time. Returns whether the C
    library has such settings: glibc has, others keep their ways.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((MMAP_THRESHOLD, LARGEST_KEPT), (TRIM_THRESHOLD, KEPT), (TOP_PAD, STEP))
    return all(mallopt(name, value) == 1 for name, value in settings)
