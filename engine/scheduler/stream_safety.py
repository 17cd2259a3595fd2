"""Tensors that a launch reads and others made: on a GPU their memory must outlive the launch, not only its host code.

A tensor's memory goes back to the stream on which it was allocated as soon as Python releases it, though another
slot's stream may not have come to reading it. So a slot tells the allocator first what it is going to read (PyTorch's
``record_stream``). What a launch makes itself is of its own stream and needs no telling.

Every class that holds a story's tensors says which: ``tensors()``. Models, plans and free buffers are not a story's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor


class HoldsTensors(Protocol):
    """Anything that lives from one launch to another."""

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds, itself or through others; some may come more than once."""
        ...


def record_stream_uses(holders: Iterable[HoldsTensors]) -> None:
    """The current stream is about to read what ``holders`` hold. On a CPU this does nothing."""
    if not torch.cuda.is_available():
        return
    for tensor in {id(tensor): tensor for holder in holders for tensor in holder.tensors()}.values():
        if tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))
