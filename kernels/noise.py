"""Forward diffusion with its noise drawn on the way (arXiv 2108.01073; ACDC Eq. 2), in one pass.

    y = sqrt(a) x + sqrt(1 - a) eps          eps: standard normals of the story's ``keys``, value i for element i

float32 inside, rounded once; the two roots in float64. ``a`` is a number, or one on the device where a captured graph
serves several noise levels. x is read and y written: 2 numbers an element move, the noise never does. What is not
finite stays so in its element; of float64 the reference makes float64, and the kernel is not asked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .jit import FLOATS, Build, jit, on_triton, tl
from .philox import normal, normal_values

BLOCK = 512  # a call of Philox, four values, a thread


def add_noise_reference(latents: Tensor, keys: Tensor, alpha: float | Tensor) -> Tensor:
    """``latents`` [B, ...], ``keys`` int64 [B, 4], ``alpha`` (alpha-bar) in [0, 1], a number or a tensor of one
    element -> [B, ...] in the type of ``latents``."""
    alpha = alpha.double().reshape(()) if isinstance(alpha, Tensor) else alpha
    wide = latents if latents.dtype == torch.float64 else latents.float()
    return (alpha**0.5 * wide + (1 - alpha) ** 0.5 * normal(keys, latents.shape[1:])).to(latents.dtype)


def add_noise(latents: Tensor, keys: Tensor, alpha: float | Tensor) -> Tensor:
    """As :func:`add_noise_reference`: by our kernel on CUDA, by the reference elsewhere. ``ValueError`` for a number
    out of range."""
    if isinstance(alpha, Tensor):
        return _add_noise(latents, keys, alpha, 0.0)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha {alpha} is out of range; choose 0 (all noise) to 1 (none)")
    return _add_noise(latents, keys, None, alpha)


@torch.library.custom_op("acdc::add_noise", mutates_args=())
def _add_noise(latents: Tensor, keys: Tensor, on_device: Tensor | None, alpha: float) -> Tensor:
    if not (on_triton(latents) and latents.dtype in FLOATS):
        return add_noise_reference(latents, keys, alpha if on_device is None else on_device)
    latents, keys = latents.contiguous(), keys.contiguous()
    noised = torch.empty_like(latents)
    if latents.numel():
        size = latents[0].numel()
        level = keys if on_device is None else on_device
        tensors = latents, keys, level, noised
        numbers = size, alpha**0.5, (1 - alpha) ** 0.5, on_device is not None, BLOCK
        _kernel[(-(-size // BLOCK), len(latents))](*tensors, *numbers, enable_fp_fusion=False)
    return noised


@_add_noise.register_fake
def _(latents: Tensor, keys: Tensor, on_device: Tensor | None, alpha: float) -> Tensor:
    return torch.empty_like(latents, memory_format=torch.contiguous_format)


@jit
def _kernel(latents, keys, level, noised, size, signal, spread, ON_DEVICE: tl.constexpr, BLOCK: tl.constexpr):
    first, story = tl.program_id(0) * BLOCK, tl.program_id(1).to(tl.int64)
    if ON_DEVICE:
        alpha = tl.load(level).to(tl.float64)
        signal, spread = tl.sqrt(alpha).to(tl.float32), tl.sqrt(1.0 - alpha).to(tl.float32)
    offsets = first + tl.arange(0, BLOCK)
    value = tl.load(latents + story * size + offsets, offsets < size, other=0.0).to(tl.float32)
    noise = normal_values(keys + story * 4, story * 0, first, BLOCK)  # at position 0
    value = signal * value + spread * noise
    tl.store(noised + story * size + offsets, value.to(noised.dtype.element_ty), offsets < size)


_TYPES = {"keys": "*i64", "size": "i32", "signal": "fp32", "spread": "fp32"}
BUILDS = tuple(
    Build(
        _kernel,
        _TYPES | {"latents": kind, "noised": kind, "level": level},
        {"ON_DEVICE": level == "*fp64", "BLOCK": BLOCK},
        fp_fusion=False,
    )
    for kind, level in (("*bf16", "*i64"), ("*fp32", "*fp64"))
)
