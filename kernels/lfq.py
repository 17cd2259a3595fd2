"""Look-up-free quantisation (arXiv 2310.05737): a code is the signs of its channels, the most significant bit first.

    index(z) = sum_c [z_c > 0] 2^(C-1-c)          vector(i)_c = +1 where bit C-1-c of i is set, else -1

MAGVIT-v2 in Show-o has C = 13 channels and 2^13 = 8,192 codes. Zero, and what is not a number, counts as not positive.
Worked example, C = 3: (.5, -2, 1) has bits 1 0 1, index 5; index 5 is (1, -1, 1). Both ways read and write once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .jit import Build, jit, next_power_of_2, on_triton, tl

ROWS = 128  # vectors a program
MOST_CHANNELS = 30  # indices are built in int32


def lfq_index_reference(vectors: Tensor) -> Tensor:
    """``vectors`` [N, C] -> indices int64 [N]."""
    powers = 1 << torch.arange(vectors.shape[1] - 1, -1, -1, device=vectors.device)
    return torch.where(vectors > 0, powers, 0).sum(1)


def lfq_vectors_reference(indices: Tensor, channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """``indices`` int64 [N] in [0, 2^channels) -> [N, channels] of +1 and -1."""
    shifts = torch.arange(channels - 1, -1, -1, device=indices.device)
    return (2 * ((indices[:, None] >> shifts) & 1) - 1).to(dtype)


@torch.library.custom_op("acdc::lfq_index", mutates_args=())
def lfq_index(vectors: Tensor) -> Tensor:
    """As :func:`lfq_index_reference`: by our kernel on CUDA, by the reference elsewhere. ``ValueError`` for over 30
    channels."""
    check_channels(vectors.shape[1])
    if not on_triton(vectors):
        return lfq_index_reference(vectors)
    vectors = vectors.contiguous()
    indices = torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)
    if len(vectors):
        channels = vectors.shape[1]
        _index[(_programs(vectors),)](vectors, indices, len(vectors), channels, ROWS, next_power_of_2(channels))
    return indices


@torch.library.custom_op("acdc::lfq_vectors", mutates_args=())
def lfq_vectors(indices: Tensor, channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """As :func:`lfq_vectors_reference`: by our kernel on CUDA, by the reference elsewhere. ``ValueError`` for over 30
    channels."""
    check_channels(channels)
    if not on_triton(indices):
        return lfq_vectors_reference(indices, channels, dtype)
    indices = indices.contiguous()
    vectors = torch.empty(len(indices), channels, dtype=dtype, device=indices.device)
    if len(indices):
        _vectors[(_programs(indices),)](indices, vectors, len(indices), channels, ROWS, next_power_of_2(channels))
    return vectors


@lfq_index.register_fake
def _(vectors: Tensor) -> Tensor:
    return torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)


@lfq_vectors.register_fake
def _(indices: Tensor, channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(len(indices), channels, dtype=dtype, device=indices.device)


def check_channels(channels: int) -> None:
    """``ValueError`` if indices of this number of bits do not fit."""
    if not 1 <= channels <= MOST_CHANNELS:
        raise ValueError(f"{channels} channels are not supported; choose 1 to {MOST_CHANNELS}")


def _programs(values: Tensor) -> int:
    return -(-len(values) // ROWS)


@jit
def _index(vectors, indices, count, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    rows, channel = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    inside = (rows < count)[:, None] & (channel < channels)[None, :]
    z = tl.load(vectors + rows[:, None].to(tl.int64) * channels + channel[None, :], inside, other=0.0)
    bits = (z.to(tl.float32) > 0).to(tl.int32) << tl.maximum(channels - 1 - channel, 0)[None, :]
    tl.store(indices + rows, tl.sum(tl.where(inside, bits, 0), 1).to(tl.int64), rows < count)


@jit
def _vectors(indices, vectors, count, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    rows, channel = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    index = tl.load(indices + rows, rows < count, other=0).to(tl.int32)
    bit = (index[:, None] >> tl.maximum(channels - 1 - channel, 0)[None, :]) & 1
    where = vectors + rows[:, None].to(tl.int64) * channels + channel[None, :]
    inside = (rows < count)[:, None] & (channel < channels)[None, :]
    tl.store(where, (2 * bit - 1).to(tl.float32).to(vectors.dtype.element_ty), inside)


_TYPES = {"vectors": "*bf16", "indices": "*i64", "count": "i32", "channels": "i32"}
BUILDS = tuple(Build(kernel, _TYPES, {"ROWS": ROWS, "WIDTH": 16}) for kernel in (_index, _vectors))
