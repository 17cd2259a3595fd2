"""Memory that is taken and given back again and again: the process keeps it, where the C library is glibc.

By default glibc gives each thread a heap of its own, up to eight a core. Tensors that one slot makes and another lets
go leave holes there that it never gives back, and a process grows from story to story though it holds no more. And it
asks the kernel for each large block again: a pass of Stable Diffusion 1.5's UNet in float32 took 5.0 s with fresh pages
and 3.7 with kept ones (``bench/results/kept_memory_cpu_2026-12-01.json``), for 0.9 GB more at the peak.
"""

from __future__ import annotations

import ctypes
import os
import platform

# Parameters of mallopt (malloc.h), and what they are set to.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
SETTINGS = {
    M_ARENA_MAX: 1,
    M_MMAP_THRESHOLD: 1 << 30,  # what is smaller comes from the heap, which uses its pages again
    M_TRIM_THRESHOLD: 1 << 30,  # free at the heap's end before it shrinks; the next launch would grow it again
}
OLD_LIMIT = 32 << 20  # of M_MMAP_THRESHOLD, where the C library does not take more
# PyTorch reads it at its first allocation. Its blocks then begin at multiples of 2 MiB and fit where one was; else each
# begins a little after the last one, and a pass of that UNet holds another 1.5 GB.
LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"


def keep_freed_memory() -> bool:
    """One heap for all threads, which keeps what it once had, in large pages; says whether the C library can do that.
    The commands call it before they load models; no library function does."""
    if platform.libc_ver()[0] != "glibc":
        return False
    os.environ.setdefault(LARGE_PAGES, "1")
    mallopt = ctypes.CDLL(None).mallopt
    taken = {name: mallopt(name, value) for name, value in SETTINGS.items()}  # each says 1, or 0
    if not taken[M_MMAP_THRESHOLD]:
        taken[M_MMAP_THRESHOLD] = mallopt(M_MMAP_THRESHOLD, OLD_LIMIT)
    return min(taken.values()) == 1
