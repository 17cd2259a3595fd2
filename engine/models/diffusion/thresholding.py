"""Dynamic thresholding (Imagen, arXiv 2205.11487, section 2.3): guidance drives pixels out of range, this brings them
back."""

import torch
from torch import Tensor


def threshold(x0: Tensor, ratio: float, most: float) -> Tensor:
    """``x0`` [..., C, H, W], each picture clamped to its ``ratio`` quantile s of absolute values and divided by s.

    s is at least 1 and at ``most`` ``most``; where that is 1 nothing has to be sorted. In float32 at least.
    """
    if most == 1:
        return x0.clamp(-1, 1)
    wide = x0.to(torch.promote_types(x0.dtype, torch.float32))
    s = quantile(wide.abs().flatten(-3), ratio).clamp(1, most)[..., None, None, None]
    return (wide.clamp(-s, s) / s).to(x0.dtype)


def quantile(values: Tensor, ratio: float) -> Tensor:
    """``torch.quantile`` of the last axis, interpolated, with places known on the host so that a graph can hold it."""
    ordered, place = values.sort(dim=-1).values, ratio * (values.shape[-1] - 1)
    below = int(place)
    above = min(below + 1, values.shape[-1] - 1)
    return torch.lerp(ordered[..., below], ordered[..., above], place - below)
