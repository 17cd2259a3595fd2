"""Did an error mean that memory ran out? On a GPU and on a CPU torch says so in different ways."""

from __future__ import annotations

import torch

CPU_MESSAGES = ("can't allocate memory", "not enough memory", "bad_alloc")  # torch's CPU allocator and C++ say so


def is_out_of_memory(error: BaseException) -> bool:
    """True if a smaller batch might not have raised ``error``."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in CPU_MESSAGES)
