"""Group norm with a SiLU after it for training on one CPU core: a small C++ kernel."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .native import build

DTYPES = (torch.bfloat16, torch.float32)


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, or None where it cannot be built."""
    loaded = build(Path(__file__).with_name("fused_norm.cpp"))
    if loaded is None:
        return None
    pointer, integer, long, real = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
    loaded.group_norm_forward.argtypes = [pointer] * 5 + [long] + [integer] * 3 + [real] + [integer] * 2
    loaded.group_norm_backward.argtypes = [pointer] * 8 + [long] + [integer] * 5
    loaded.group_norm_forward.restype = loaded.group_norm_backward.restype = None
    return loaded


def _pixels(x: Tensor) -> Tensor:
    """[B, C, H, W] in channels-last memory order (copied if it is not)."""
    return x.contiguous(memory_format=torch.channels_last)


class _FusedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool) -> Tensor:
        kernel = library()
        assert kernel is not None, "checked by the caller"
        x, weight, bias = _pixels(x), weight.float().contiguous(), bias.float().contiguous()
        batch, channels, height, width = x.shape
        y = torch.empty_like(x)
        stats = torch.empty(batch, groups, 2)
        kernel.group_norm_forward(
            x.data_ptr(), weight.data_ptr(), bias.data_ptr(), y.data_ptr(), stats.data_ptr(),
            batch, height * width, channels, groups, eps, int(silu), int(x.dtype == torch.float32),
        )  # fmt: skip
        ctx.save_for_backward(x, weight, bias, stats)
        ctx.groups, ctx.silu = groups, silu
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        kernel = library()
        assert kernel is not None, "checked by the caller"
        x, weight, bias, stats = ctx.saved_tensors
        dy = _pixels(dy.to(x.dtype))
        batch, channels, height, width = x.shape
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        kernel.group_norm_backward(
            dy.data_ptr(), x.data_ptr(), weight.data_ptr(), bias.data_ptr(), stats.data_ptr(), dx.data_ptr(),
            dweight.data_ptr(), dbias.data_ptr(), batch, height * width, channels, ctx.groups, int(ctx.silu),
            int(x.dtype == torch.float32),
        )  # fmt: skip
        return dx, dweight, dbias, None, None, None


class FusedGroupNorm(nn.GroupNorm):
    """`nn.GroupNorm`, followed by a SiLU where `silu` is set; the same parameters and the same result.

    The kernel serves bfloat16 and float32 CPU maps [B, C, H, W]; everything else takes PyTorch's own way.
    """

    silu: bool = False

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype in DTYPES and x.device.type == "cpu" and x.ndim == 4 and library() is not None:
            y: Tensor = _FusedNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps, self.silu)
            return y
        y = super().forward(x)
        return F.silu(y) if self.silu else y
