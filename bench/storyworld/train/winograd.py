"""3 x 3 convolutions by Winograd's F(4 x 4, 3 x 3) for float32 training on a CPU (arXiv 1509.09308, section 4).

A tile of 4 x 4 outputs takes 36 products a pair of channels for 144 of the sum itself, which is what oneDNN computes on
AVX2. The gradients are the transposed maps, so they are the exact ones of what was computed. The engine's own
(`engine/models/layers/winograd.py`) needs no compiler, serves wide layers alone and has no gradient.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....engine.models.layers.winograd import KERNEL, is_plain_3x3
from .native import build

PLACES = 36  # of a tile's 6 x 6 transformed values
LANES = 8  # channels that the transforms take at once
SIDE = torch.tensor(KERNEL, dtype=torch.float64)
FILTERS = torch.kron(SIDE, SIDE).float()  # [36, 9]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, or None where it cannot be built."""
    loaded = build(Path(__file__).with_name("winograd.cpp"))
    if loaded is None:
        return None
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    loaded.convolve.argtypes = [pointer] * 4 + [integer] * 5
    loaded.gradients.argtypes = [pointer] * 5 + [integer] * 5
    loaded.convolve.restype = loaded.gradients.restype = None
    return loaded


def serves(x: Tensor, conv: nn.Conv2d) -> bool:
    """True where the kernel computes ``conv(x)``: float32 maps of whole tiles, channels of whole vectors."""
    return (
        is_plain_3x3(conv)
        and x.dtype == conv.weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and x.shape[2] % 4 == x.shape[3] % 4 == 0
        and conv.in_channels % LANES == conv.out_channels % LANES == 0
        and library() is not None
    )


class WinogradConv2d(nn.Conv2d):
    """`nn.Conv2d` that takes Winograd's way where it `serves`; the same parameters."""

    def forward(self, x: Tensor) -> Tensor:
        if not serves(x, self):
            return super().forward(x)
        y: Tensor = _Convolution.apply(x, self.weight, self.bias)
        return y


class _Convolution(torch.autograd.Function):
    """Y = A^T [U . V] A with U = G w G^T and V = B^T x B, tile by tile; the sums over channels are products of
    matrices, one for each of the 36 places."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        kernel = library()
        assert kernel is not None, "checked by the caller"
        x = x.contiguous(memory_format=torch.channels_last)
        (batch, inputs, height, width), outputs = x.shape, len(weight)
        kernels = (FILTERS @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(PLACES, inputs, outputs)
        y = torch.empty((batch, outputs, height, width), memory_format=torch.channels_last)
        shift = None if bias is None else bias.data_ptr()
        kernel.convolve(
            x.data_ptr(), kernels.data_ptr(), shift, y.data_ptr(), batch, height, width, inputs, outputs
        )  # fmt: skip
        ctx.save_for_backward(x, kernels)
        ctx.biased = bias is not None
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        kernel = library()
        assert kernel is not None, "checked by the caller"
        x, kernels = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        (batch, inputs, height, width), outputs = x.shape, dy.shape[1]
        dx, dkernels, turned = torch.zeros_like(x), torch.zeros_like(kernels), kernels.transpose(1, 2).contiguous()
        kernel.gradients(
            dy.data_ptr(), x.data_ptr(), turned.data_ptr(), dx.data_ptr(), dkernels.data_ptr(),
            batch, height, width, inputs, outputs,
        )  # fmt: skip
        dweight = (FILTERS.T @ dkernels.flatten(1)).view(3, 3, inputs, outputs).permute(3, 2, 0, 1)
        return dx, dweight, dy.sum((0, 2, 3)) if ctx.biased else None
