"""Gated activations (arXiv 2002.05202): the element-wise half of a feed-forward layer, in one pass.

    swiglu(gate, value) = silu(gate) * value        silu(g) = g / (1 + exp(-g))
    geglu(value, gate)  = value * gelu(gate)        gelu(g) = g/2 (1 + erf(g / sqrt 2)), the exact one

as ``engine/models/layers/llama.py`` and ``engine/models/diffusion/attention.py`` have them. Both take [..., n] twice
and give [..., n]: of R rows 3 R n numbers move. In bfloat16 and float16 the activation is computed in float32, rounded,
then multiplied and rounded again, as the two plain operations do. Kernels take float32, bfloat16 and float16; float64
always goes through the reference.

Gate and value may be halves of one product [..., 2 n], which are read where they are:

    fused [R, 2 n]    row 0:  g g g v v v       chunk(2, -1) gives two views [R, n] of row stride 2 n
                      row 1:  g g g v v v       and unit stride within a row; neither is copied

A NaN in gate or value stays in its place. silu and gelu of -inf are NaN (-inf * 0), of +inf +inf. So they are in the
reference, except that gelu of +inf is NaN where PyTorch runs it by oneDNN's code for AVX-512 (2.13 on contiguous CPU
tensors; oneDNN's own for AVX2, and strided tensors, give +inf).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .jit import FLOATS, Build, jit, next_power_of_2, on_triton, tl

PER_THREAD, WARP = 8, 32  # 8 numbers of 2 bytes are the widest load of a thread


def swiglu_reference(gate: Tensor, value: Tensor) -> Tensor:
    """``gate`` and ``value`` [..., n] -> [..., n]; float64 stays float64 throughout."""
    return F.silu(gate) * value


def geglu_reference(value: Tensor, gate: Tensor) -> Tensor:
    """``value`` and ``gate`` [..., n], in this order -> [..., n]; float64 stays float64 throughout."""
    return value * F.gelu(gate)


@torch.library.custom_op("acdc::swiglu", mutates_args=())
def swiglu(gate: Tensor, value: Tensor) -> Tensor:
    """As :func:`swiglu_reference`: by our kernel on CUDA, by the reference elsewhere."""
    _check(gate, value)
    if on_triton(value) and value.dtype in FLOATS:
        return _launch(gate, value, "silu")
    return swiglu_reference(gate, value).contiguous()


@torch.library.custom_op("acdc::geglu", mutates_args=())
def geglu(value: Tensor, gate: Tensor) -> Tensor:
    """As :func:`geglu_reference`: by our kernel on CUDA, by the reference elsewhere."""
    _check(gate, value)
    if on_triton(value) and value.dtype in FLOATS:
        return _launch(gate, value, "gelu")
    return geglu_reference(value, gate).contiguous()


@swiglu.register_fake
def _(gate: Tensor, value: Tensor) -> Tensor:
    _check(gate, value)
    return torch.empty_like(value, memory_format=torch.contiguous_format)


@geglu.register_fake
def _(value: Tensor, gate: Tensor) -> Tensor:
    _check(gate, value)
    return torch.empty_like(value, memory_format=torch.contiguous_format)


def _check(gate: Tensor, value: Tensor) -> None:
    if gate.shape != value.shape or gate.dtype != value.dtype:
        raise ValueError(f"gate {_named(gate)} and value {_named(value)} must have the same shape and type")


def _named(value: Tensor) -> str:
    return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def _launch(gate: Tensor, value: Tensor, activation: str) -> Tensor:
    out, size = torch.empty_like(value, memory_format=torch.contiguous_format), value.shape[-1]
    if out.numel():
        gate, value, block = _rows(gate), _rows(value), block_size(size)
        blocks = -(-size // block)
        strides = gate.stride(0), value.stride(0)
        warps = max(1, block // (PER_THREAD * WARP))
        _kernel[(len(value) * blocks,)](gate, value, out, *strides, size, blocks, activation, block, num_warps=warps)
    return out


def _rows(x: Tensor) -> Tensor:
    """[..., n] -> [R, n] with unit stride in a row: a view where rows are equally far apart, as those of halves are."""
    x = x.reshape(-1, x.shape[-1])
    return x if x.stride(1) == 1 else x.contiguous()


def block_size(size: int) -> int:
    """Numbers of a row that one program takes: as many as 4, 2 or 1 warps load at once.

    More is better unless over an eighth of the threads would have nothing to do: 11,008 numbers are 10.75 blocks of
    1,024, but 1,280 are 1.25 of those and 5 of 256.
    """
    for block in (1024, 512, 256):
        padded = -(-size // block) * block
        if 8 * (padded - size) <= padded:
            return block
    return min(256, next_power_of_2(size))


@jit
def _kernel(gate, value, out, gate_stride, value_stride, size, blocks, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    row = (tl.program_id(0) // blocks).to(tl.int64)
    column = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = column < size
    g = tl.load(gate + row * gate_stride + column, inside, other=0.0).to(tl.float32)
    active = g / (1.0 + tl.exp(-g)) if ACTIVATION == "silu" else 0.5 * g * (1.0 + tl.erf(g * 0.7071067811865476))
    active = active.to(out.dtype.element_ty).to(tl.float32)
    product = active * tl.load(value + row * value_stride + column, inside, other=0.0).to(tl.float32)
    tl.store(out + row * size + column, product.to(out.dtype.element_ty), inside)


_POINTERS = dict.fromkeys(("gate", "value", "out"), "*bf16")
_NUMBERS = dict.fromkeys(("gate_stride", "value_stride", "size", "blocks"), "i32")
BUILDS = (
    Build(_kernel, {**_POINTERS, **_NUMBERS}, {"ACTIVATION": "silu", "BLOCK": block_size(11008)}),  # LWM-7B
    Build(_kernel, {**_POINTERS, **_NUMBERS}, {"ACTIVATION": "gelu", "BLOCK": block_size(5120)}),  # SD 1.5, 16 x 16
    Build(_kernel, {**_POINTERS, **_NUMBERS}, {"ACTIVATION": "gelu", "BLOCK": block_size(1280)}, num_warps=1),
)
