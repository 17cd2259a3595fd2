"""Cases of each kernel: the sizes of the published systems, a module a kernel with ``cases(device)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor


class Case(NamedTuple):
    """A kernel and its plain reference on the same inputs.

    ``bytes`` must be moved at least once and ``flops`` done, by any implementation; ``tolerance`` is (rtol, atol)
    between the two, (0, 0) for equal bits. ``library`` is the best call of PyTorch for the same, where the reference is
    not.
    """

    name: str
    run: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: tuple[Any, ...]
    bytes: int
    flops: int
    tolerance: tuple[float, float]
    library: Callable[..., Any] | None = None


def moved(*values: Tensor) -> int:
    """Bytes of these tensors."""
    return sum(value.numel() * value.element_size() for value in values)
