"""Several linear layers of the same input as one product: rows of the weights one after another.

    q, k, v = x Wq^T, x Wk^T, x Wv^T   is   x [Wq; Wk; Wv]^T, split

Exact up to the order of sums. The layers' own weights become views of the joint one, so that they are read, saved and
changed in place under their names as before.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .quantized import QuantizedLinear


class Fused(nn.Module):
    """``[layer(x) for layer in layers]`` of linear layers without bias, from one product."""

    weight: Tensor

    def __init__(self, *layers: nn.Linear) -> None:
        """The layers' weights move into the joint one."""
        super().__init__()
        assert all(layer.bias is None for layer in layers), "biases are not joined"
        self.layers, self.sizes = layers, tuple(layer.out_features for layer in layers)  # a tuple's are not submodules
        self.quantized: QuantizedLinear | None = None
        joint = torch.cat([layer.weight.detach() for layer in layers])
        self.register_buffer("weight", joint, persistent=False)
        for layer, part in zip(layers, joint.split(self.sizes), strict=True):
            layer.weight = nn.Parameter(part, requires_grad=False)

    def quantize(self, kind: str) -> None:
        """Keep the joint weight as int8 or fp8 only; the layers' own become empty."""
        self.quantized = QuantizedLinear(self.weight, kind)
        self.weight = self.weight.new_empty(0)
        for layer in self.layers:
            layer.weight = nn.Parameter(self.weight, requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[..., in] -> one [..., out] a layer."""
        joint = F.linear(x, self.weight) if self.quantized is None else self.quantized(x)
        return joint.split(self.sizes, -1)


@runtime_checkable
class Fusable(Protocol):
    """A module that can take several products of its input as one."""

    def fuse(self) -> None: ...


def fuse(model: nn.Module, device: torch.device | str) -> None:
    """Every part of the model that can, unless on a CPU, where no gain was seen (docs/log.md).

    Call it once device and dtype are final, since a later cast would part the views.
    """
    if torch.device(device).type == "cpu":
        return
    for module in list(model.modules()):
        if isinstance(module, Fusable):
            module.fuse()
