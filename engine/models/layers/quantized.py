"""Weights of the ARM in int8 or fp8: half of bfloat16's bytes to read for each token. **Lossy**, never a default.

Only the products inside the transformer's blocks are quantised, with one scale a channel; embeddings, norms and heads
stay as they are. What that does to stories is measured by ``python -m acdc.bench.drift`` (docs/backends.md). Faster
where reading weights is the limit and our kernel runs (``kernels="triton"``); plain PyTorch widens a weight for each
product.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ....kernels.weight_only_linear import check_capability, quantise, weight_only_linear, weight_only_linear_reference

QUANTIZATIONS = {"none": None, "int8": torch.int8, "fp8": torch.float8_e4m3fn}


@runtime_checkable
class Quantizable(Protocol):
    """A module that quantises weights of its own in its own way."""

    def quantize(self, kind: str) -> None: ...


class QuantizedLinear(nn.Module):
    """A linear layer whose weight [out, in] is int8 or fp8, with float32 scales [out]."""

    weight: Tensor
    scales: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, kind: str, bias: Tensor | None = None) -> None:
        """``ValueError`` for a weight that is not finite."""
        super().__init__()
        packed, scales = quantise(weight, kind)
        self.register_buffer("weight", packed)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.linear = weight_only_linear_reference

    def enable_triton(self) -> None:
        """Multiply by our kernel."""
        self.linear = weight_only_linear

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return self.linear(x, self.weight, self.scales, self.bias)


def check_quantization(quantization: str, device: torch.device) -> None:
    """``ValueError`` (one line) for an unknown choice, or for fp8 on a GPU that does not know it."""
    if quantization not in QUANTIZATIONS:
        raise ValueError(f"unknown quantization {quantization!r}; choose one of {', '.join(QUANTIZATIONS)}")
    dtype = QUANTIZATIONS[quantization]
    if dtype is not None and device.type == "cuda":
        check_capability(dtype, torch.cuda.get_device_capability(device))


@torch.no_grad()
def quantize(blocks: nn.Module, kind: str) -> None:
    """Replace every linear layer inside ``blocks`` (int8 or fp8), in place; joint ones stay joint."""
    for module in list(blocks.modules()):
        if isinstance(module, Quantizable):
            module.quantize(kind)
    for module in list(blocks.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, nn.Linear) and layer.weight.numel():
                setattr(module, name, QuantizedLinear(layer.weight, kind, layer.bias))
