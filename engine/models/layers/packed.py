"""Weights kept in oneDNN's own order, on a CPU with units for bfloat16 or float16.

PyTorch hands oneDNN plain weights, which it puts in the order of the units' tiles at every call: of Stable Diffusion
1.5's UNet at 256 pixels, 1.7 GB are read, written and read again a pass, and this takes longer than the products of its
innermost levels. Packed once, weights are only read. It is what PyTorch's own compiler does with frozen weights, by the
same operators; results are those of the plain layers, bit for bit.

    weight [out, in, 3, 3], plain        o0: i0 i1 i2 ...          a row an output
    weight, packed (for instance)        tiles of 16 outputs x 32 inputs, pairs of inputs together

Feature maps lie channels-last, which these convolutions read and write without another copy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .half_precision import HALVES


class PackedLinear(nn.Linear):
    """A linear layer whose ``weight`` is packed; its shape and dtype stay."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out


class PackedConv2d(nn.Conv2d):
    """A convolution whose ``weight`` is packed."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, h, w] -> [B, out, h', w'], channels-last."""
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups, "none", [], ""
        )
        return out


def pack(*models: nn.Module) -> None:
    """Every linear layer and convolution of the models with a bfloat16 or float16 weight, in place, for good: a packed
    weight is neither saved, moved nor exported. The modules stay the very same ones.

    The plain weight is freed as its layer is packed, so at most one of them is held twice. What is not packed is
    copied: biases and norms would keep the whole file mapped that they were read from.
    """
    for layer in (module for model in models for module in model.modules()):
        if type(layer) is nn.Linear and layer.weight.dtype in HALVES:
            packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
            layer.__class__ = PackedLinear
        elif type(layer) is nn.Conv2d and layer.weight.dtype in HALVES and layer.padding_mode == "zeros":
            ways = layer.padding, layer.stride, layer.dilation, layer.groups
            packed = torch.ops.mkldnn._reorder_convolution_weight(layer.weight.detach(), *ways, [])
            layer.__class__ = PackedConv2d
        else:
            continue
        layer.weight = nn.Parameter(packed, requires_grad=False)
    for value in (value for model in models for value in model.parameters() if not value.is_mkldnn):
        value.data = value.data.clone()
