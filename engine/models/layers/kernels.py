"""Triton kernels in place of plain PyTorch, module by module; the models' code and weights stay what they are.

A module that can use a kernel has ``enable_triton()``. Products and convolutions stay the libraries'; what lies between
them is fused. Exact up to the order of sums, but another function of the bits than plain PyTorch, hence a choice:
``torch`` (the reference) or ``triton``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from ....kernels.jit import unsupported_reasons
from ...options import KERNELS

# Backends that run a stage's own operators, ours among them; the others translate PyTorch's only.
SUPPORTS_CUSTOM_OPS = ("eager", "cudagraph", "inductor-jit")


@runtime_checkable
class UsesTriton(Protocol):
    """A module that can compute with our Triton kernels."""

    def enable_triton(self) -> None: ...


def check_kernels(kernels: str, backends: Mapping[str, str], device: str, dtype: torch.dtype) -> None:
    """``ValueError`` (one line, every reason) for an unknown choice, or one that cannot serve there."""
    if kernels not in KERNELS:
        raise ValueError(f"unknown kernels {kernels!r}; choose one of {', '.join(KERNELS)}")
    if kernels == "torch":
        return
    reasons = unsupported_reasons(device, dtype)
    for backend in dict.fromkeys(backends.values()):
        if backend not in SUPPORTS_CUSTOM_OPS:
            reasons.append(f"backend {backend!r} cannot run them; {', '.join(SUPPORTS_CUSTOM_OPS)} can")
    if reasons:
        raise ValueError(f"kernels {kernels!r} cannot run: {'; '.join(reasons)}")


def enable_triton(*models: nn.Module) -> None:
    """Every part of the models that can computes by our kernels from now on; feature maps lie channels-last."""
    for model in models:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in model.modules():
            if isinstance(module, UsesTriton):
                module.enable_triton()
