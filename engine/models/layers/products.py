"""The products of a model's layers, in the fastest exact way that this CPU has for its number type."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from .few_rows import turn
from .half_precision import HALVES, emulated, widen
from .packed import pack
from .winograd import transform


def choose_products(
    device: torch.device, dtype: torch.dtype, networks: Iterable[nn.Module], packable: Iterable[nn.Module]
) -> None:
    """Change layers in place, on a CPU alone: those of ``networks`` are turned in float32, and widened in bfloat16 or
    float16 where it has no units for them. Where it has, the ``packable`` parts, of which no plan is made, are packed;
    in float32 their wide convolutions are transformed.
    """
    if device.type != "cpu":
        return
    if emulated(device, dtype):
        widen(*networks)
    elif dtype in HALVES:
        pack(*packable)
    else:
        turn(*networks)
        if dtype == torch.float32:
            transform(*packable)
