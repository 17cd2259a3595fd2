"""Norms as modules whose arithmetic is one function of ``kernels/``: the plain one or the kernel's (``kernels.py``)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ....kernels.group_norm_silu import group_norm_silu, group_norm_silu_reference
from ....kernels.rms_norm import rms_norm, rms_norm_reference


class RMSNorm(nn.Module):
    """Root-mean-square norm: computed in float32 at least, multiplied by the weight in the compute dtype."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps
        self.norm: Callable[..., Tensor] = rms_norm_reference

    def enable_triton(self) -> None:
        """Normalise by our kernel."""
        self.norm = rms_norm

    def forward(self, x: Tensor) -> Tensor:
        """[..., size] -> [..., size]."""
        return self.norm(x, self.weight, self.eps)


class GroupNorm(nn.GroupNorm):
    """Group norm of a feature map with what surrounds it: a shift of each channel before, SiLU after."""

    def __init__(self, groups: int, channels: int, eps: float, silu: bool = True) -> None:
        super().__init__(groups, channels, eps=eps)
        self.silu = silu
        self.norm: Callable[..., Tensor] = group_norm_silu_reference

    def enable_triton(self) -> None:
        """Normalise by our kernel."""
        self.norm = group_norm_silu

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """``x`` [B, C, h, w], ``shift`` [B or 1, C] -> [B, C, h, w]."""
        return self.norm(x, self.num_groups, self.weight, self.bias, self.eps, shift, self.silu)
