"""Root-mean-square norm (arXiv 1910.07467), alone or with the residual add before it: one pass over the rows.

    s = x + residual                                 rounded to the type; the block's next residual
    y = s / sqrt(mean(s^2) + eps) * weight           mean and quotient in float32, rounded, then times the weight

as ``engine/models/layers/llama.py`` has it. One program a row of D numbers, which is read once and written once: of
[R, D] rows 2 R D numbers move, or 4 R D with the residual. A row with a NaN becomes NaN; one with an infinity becomes
NaN there and 0 elsewhere, as in the reference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .jit import Build, jit, next_power_of_2, on_triton, tl


def rms_norm_reference(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x`` [..., D], ``weight`` [D] -> [..., D]; float64 stays float64 throughout."""
    wide = x if x.dtype == torch.float64 else x.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return wide.to(x.dtype) * weight


def add_rms_norm_reference(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``x`` and ``residual`` [..., D], ``weight`` [D] -> (y, s), [..., D] each."""
    s = x + residual
    return rms_norm_reference(s, weight, eps), s


@torch.library.custom_op("acdc::rms_norm", mutates_args=())
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As :func:`rms_norm_reference`: by our kernel on CUDA, by the reference elsewhere."""
    return _launch(x, None, weight, eps)[0] if on_triton(x) else rms_norm_reference(x, weight, eps)


@torch.library.custom_op("acdc::add_rms_norm", mutates_args=())
def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """As :func:`add_rms_norm_reference`: by our kernel on CUDA, by the reference elsewhere."""
    if on_triton(x):
        return _launch(x, residual, weight, eps)
    return add_rms_norm_reference(x, residual, weight, eps)


@rms_norm.register_fake
def _(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@add_rms_norm.register_fake
def _(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    fresh = torch.empty_like(x, memory_format=torch.contiguous_format)
    return fresh, torch.empty_like(fresh)


def _launch(x: Tensor, residual: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    x, size = x.contiguous(), x.shape[-1]
    y = torch.empty_like(x)
    s = x if residual is None else torch.empty_like(x)
    added = x if residual is None else residual.contiguous()
    if x.numel():
        block = next_power_of_2(size)
        _kernel[(x.numel() // size,)](x, added, weight, y, s, size, eps, residual is not None, block)
    return y, s


@jit
def _kernel(x, residual, weight, y, s, size, eps, HAS_RESIDUAL: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * size
    offsets = tl.arange(0, BLOCK)
    inside = offsets < size
    value = tl.load(x + row + offsets, inside, other=0.0).to(tl.float32)
    if HAS_RESIDUAL:
        value += tl.load(residual + row + offsets, inside, other=0.0).to(tl.float32)
        value = value.to(s.dtype.element_ty)
        tl.store(s + row + offsets, value, inside)
        value = value.to(tl.float32)
    value *= tl.rsqrt(tl.sum(value * value, 0) / size + eps)
    value = value.to(y.dtype.element_ty).to(tl.float32)
    value *= tl.load(weight + offsets, inside, other=0.0).to(tl.float32)
    tl.store(y + row + offsets, value.to(y.dtype.element_ty), inside)


_POINTERS = dict.fromkeys(("x", "residual", "weight", "y", "s"), "*bf16")
BUILDS = (Build(_kernel, {**_POINTERS, "size": "i32", "eps": "fp32"}, {"HAS_RESIDUAL": True, "BLOCK": 4096}),)
