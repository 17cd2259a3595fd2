"""Memory that many threads take and give back: one heap for all of them, where the C library is glibc.

By default glibc gives each thread a heap of its own, up to eight a core. Tensors that one slot makes and another lets
go leave holes there that are never given back, and a process grows from story to story though it holds no more.
"""

from __future__ import annotations

import ctypes
import platform

# Parameters of mallopt (malloc.h), and what they are set to.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
SETTINGS = {
    M_ARENA_MAX: 1,
    M_MMAP_THRESHOLD: 32 << 20,  # its limit: what is smaller comes from the heap, and its pages are used again
    M_TRIM_THRESHOLD: 256 << 20,  # free at the heap's end before it shrinks; the next launch would grow it again
}


def limit_malloc_arenas() -> bool:
    """New threads take from the heap of the first, which keeps what it once had; says whether the C library can do
    that. The command line calls it before it makes slots; no library function does."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return min(mallopt(name, value) for name, value in SETTINGS.items()) == 1  # each says 1, or 0
