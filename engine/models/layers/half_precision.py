"""Products of bfloat16 and float16 on a CPU that has no units for them: the arithmetic of such units, in float32.

    y = round(float32(x) float32(W)^T + float32(b))        for each linear layer and convolution

A unit for bfloat16 multiplies its numbers exactly, sums in float32 and rounds the sum once; so does this. Without it
torch falls back to slow loops, many times slower than float32's. Attention, norms and activations in bfloat16 keep up
with float32 there and stay what they are.

Weights stay in their two bytes. At most ``WIDENED_AT_ONCE`` numbers of one are held in float32 at a time, a slice of
its outputs: 8 MiB, which a cache holds until they are multiplied and the allocator keeps for the next slice. For a
weight [8192, 2048], for instance, eight slices [1024, 2048].

Up to ``FEW`` rows torch's loops are faster for linear layers, and sum in float32, too: they read two bytes a weight
once a row and write none. On two cores of an AMD EPYC with a weight [5632, 2048], 2 rows take 2.8 ms by them
and 6.0 in slices, 16 rows 18.9 and 7.0 (``bench/results/few_rows_cpu_2026-12-01.json``). Layers with a bias are always
widened: the loops round before they add it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .few_rows import multiply_rows

HALVES = (torch.bfloat16, torch.float16)
WIDENED_AT_ONCE = 1 << 21
FEW = 4


class WidenedLinear(nn.Linear):
    """A linear layer whose weight is widened slice by slice."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], both in the weight's dtype."""
        if self.bias is None and x.numel() <= FEW * x.shape[-1]:
            return F.linear(x, self.weight)
        return multiply(multiply_rows, x, self.weight, self.bias, -1)


class WidenedConv2d(nn.Conv2d):
    """A convolution (of one group) whose weight is widened slice by slice."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, h, w] -> [B, out, h', w'], both in the weight's dtype."""
        return multiply(self._conv_forward, x, self.weight, self.bias, -3)


def multiply(product: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, outputs: int) -> Tensor:
    """``product(x, weight, bias)`` in float32, rounded to the weight's dtype; ``weight`` [out, ...] holds what makes
    each output, along the result's axis ``outputs``."""
    most = max(1, WIDENED_AT_ONCE // weight[0].numel())
    count = -(-len(weight) // most)  # of slices, about equal ones
    weights = weight.chunk(count)
    biases = [None] * len(weights) if bias is None else [part.float() for part in bias.chunk(count)]
    wide = x.float()
    parts = [product(wide, w.float(), b).to(weight.dtype) for w, b in zip(weights, biases, strict=True)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, outputs)


def emulated(device: torch.device, dtype: torch.dtype) -> bool:
    """True if torch has but slow loops for products of ``dtype`` on ``device``: what it asks itself, before it hands
    them to oneDNN. False on GPUs, and of float32 and float64."""
    if device.type != "cpu" or dtype not in HALVES:
        return False
    if not torch.backends.mkldnn.is_available():
        return True
    known = torch.ops.mkldnn
    return not (known._is_mkldnn_bf16_supported() if dtype == torch.bfloat16 else known._is_mkldnn_fp16_supported())


def product_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """The number type in which products of models in ``dtype`` are computed: float32 where they are widened."""
    return torch.float32 if emulated(device, dtype) else dtype


def widen(*models: nn.Module) -> None:
    """Every linear layer and convolution of the models whose weight is bfloat16 or float16, in place.

    The modules stay the very same ones, with their weights and names; every reference sees the widened ones.
    """
    for layer in (module for model in models for module in model.modules()):
        if type(layer) is nn.Linear and layer.weight.dtype in HALVES:
            layer.__class__ = WidenedLinear
        elif type(layer) is nn.Conv2d and layer.weight.dtype in HALVES and layer.groups == 1:
            layer.__class__ = WidenedConv2d
