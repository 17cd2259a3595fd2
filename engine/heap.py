"""Memory that many threads take and give back: one heap for all of them, where the C library is glibc.

By default glibc gives each thread a heap of its own, up to eight a core. Tensors that one slot makes and another lets
go leave holes there that are never given back: over a thousand stories a process grew by 3 % though it held no more
(docs/log.md).
"""

from __future__ import annotations

import ctypes
import platform

M_ARENA_MAX = -8  # malloc.h


def share_one_heap() -> bool:
    """New threads take from the heap of the first; says whether the C library can do that. For a process of ours:
    called before its slots are made, and by no library function."""
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1))
