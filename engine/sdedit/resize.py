"""Between the ARM's frames and the size that a diffusion model works at: bicubic, antialiased, both ways.

A target pixel is a weighted mean of the source pixels around it. With s = source / target,

    centre of target pixel i:  (i + 1/2) s - 1/2                       corners are aligned, not pixel centres
    weight of source pixel j:  k((j - centre) / max(s, 1)), the weights of each i divided by their sum

k is Keys' cubic kernel with a = -1/2 (IEEE ASSP 1981). A picture that shrinks is smoothed by the wider kernel; one that
grows passes through its own pixels where centres meet. This is Pillow's BICUBIC. Rows and columns are separate, so a
resize is two products with small matrices that depend on the sizes alone: the same on every device and backend, with no
transfer from the host, and a CUDA graph can hold it.

Worked example: 2 pixels become 1. s = 2, the centre is 1/2, both distances are 1/4, both weights 1/2.
"""

from __future__ import annotations

import torch
from torch import Tensor

Size = tuple[int, int]


def resize(pixels: Tensor, size: Size) -> Tensor:
    """``pixels`` [B, C, H, W] in [-1, 1] -> [B, C, *size], clamped to [-1, 1]; the same tensor if it has that size.

    Computed in float32 at least.
    """
    height, width = pixels.shape[-2:]
    if (height, width) == size:
        return pixels
    wide = pixels if pixels.dtype == torch.float64 else pixels.float()
    rows = weights(height, size[0], wide.device, wide.dtype)
    columns = weights(width, size[1], wide.device, wide.dtype)
    resized = rows @ wide @ columns.T  # the kernel overshoots at edges
    return resized.clamp(-1, 1).to(pixels.dtype)


def weights(source: int, target: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The matrix [target, source] that resizes a row of pixels; its rows sum to 1."""
    scale = source / target
    centres = (torch.arange(target, device=device, dtype=dtype) + 0.5) * scale - 0.5
    distances = (torch.arange(source, device=device, dtype=dtype) - centres[:, None]) / max(scale, 1.0)
    found = cubic(distances.abs())
    return found / found.sum(1, keepdim=True)


def cubic(x: Tensor) -> Tensor:
    """Keys' kernel at distances ``x`` >= 0: 1 at 0, 0 at 1 and from 2 on."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def working_size(height: int, width: int, size: int | None) -> Size:
    """Size at which a frame of ``height`` x ``width`` is corrected: its shorter side becomes ``size``; None: as it
    is."""
    if size is None:
        return height, width
    shorter = min(height, width)
    return round(height * size / shorter), round(width * size / shorter)
