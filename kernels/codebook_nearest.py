"""The nearest code of each vector (arXiv 1711.00937, equation 1) without the matrix of all distances.

    code(z) = argmin_k |z - e_k|^2 = argmin_k (|e_k|^2 - 2 z . e_k)            the first k of equal minima

|z|^2 is the same for all k, so it is left out. For N vectors and K codes of C numbers the matrix would be N K numbers,
written and read again; here a program keeps a few vectors and walks through a part of the codebook, and a second launch
takes the best of the parts (a frame has 256 vectors, too few for a GPU if each walked alone). float32, products too (no
TF32): a near tie must fall as the reference's does, up to the order of sums. A vector with a NaN gets code 0, one with
an infinity some code.

Worked example, K = 3, C = 1: codes 0, 1, 1; z = .9 is as near to code 1 as to code 2, so it is 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .jit import Build, jit, next_power_of_2, on_triton, tl

ROWS, CODES = 16, 64  # of a program's tile; tl.dot wants 16 at least
PROGRAMS = 256  # that keep a GPU of 132 multiprocessors busy


def codebook_nearest_reference(vectors: Tensor, codebook: Tensor) -> Tensor:
    """``vectors`` [N, C], ``codebook`` [K, C] -> codes int64 [N]; float32 at least, whatever comes in."""
    wide = torch.float64 if vectors.dtype == torch.float64 else torch.float32
    vectors, codebook = vectors.to(wide), codebook.to(wide)
    return torch.addmm(codebook.square().sum(1), vectors, codebook.T, alpha=-2.0).argmin(1)


@torch.library.custom_op("acdc::codebook_nearest", mutates_args=())
def codebook_nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """As :func:`codebook_nearest_reference`: by our kernel on CUDA, by the reference elsewhere."""
    return _launch(vectors, codebook) if on_triton(vectors) else codebook_nearest_reference(vectors, codebook)


@codebook_nearest.register_fake
def _(vectors: Tensor, codebook: Tensor) -> Tensor:
    return torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)


def _launch(vectors: Tensor, codebook: Tensor) -> Tensor:
    vectors, codebook = vectors.contiguous(), codebook.contiguous()
    count, channels = vectors.shape
    codes = torch.empty(count, dtype=torch.int64, device=vectors.device)
    if not count:
        return codes
    tiles = -(-count // ROWS)
    walk = codes_each(tiles, len(codebook))
    parts = -(-len(codebook) // walk)
    far = torch.empty(count, parts, dtype=torch.float32, device=vectors.device)
    nearest = torch.empty(count, parts, dtype=torch.int32, device=vectors.device)
    sizes = (count, len(codebook), channels, parts)
    _search[(tiles, parts)](vectors, codebook, far, nearest, *sizes, walk, ROWS, CODES, width(channels))
    _best[(tiles,)](far, nearest, codes, count, parts, ROWS, next_power_of_2(parts))
    return codes


def codes_each(tiles: int, num_codes: int) -> int:
    """Number of codes of one program: a multiple of a tile, and small enough for ``PROGRAMS`` programs."""
    parts = max(1, PROGRAMS // tiles)
    return CODES * max(1, -(-num_codes // (CODES * parts)))


def width(channels: int) -> int:
    """The tile's width: all channels at once, at least the 16 of ``tl.dot``."""
    return max(16, next_power_of_2(channels))


@jit
def _search(
    vectors,
    codebook,
    far,
    nearest,
    count,
    num_codes,
    channels,
    parts,
    walk,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(1)
    channel, lane = tl.arange(0, WIDTH), tl.arange(0, CODES)
    z = _tile(vectors, rows, channel, count, channels)
    here = tl.zeros((ROWS,), tl.int32)
    least = tl.full((ROWS,), float("inf"), tl.float32)
    for first in range(part * walk, tl.minimum((part + 1) * walk, num_codes), CODES):
        ids = first + lane
        e = _tile(codebook, ids, channel, num_codes, channels)
        distance = tl.sum(e * e, 1)[None, :] - 2.0 * tl.dot(z, tl.trans(e), input_precision="ieee")
        distance = tl.where((ids < num_codes)[None, :], distance, float("inf"))
        best = tl.min(distance, 1)
        first_best = tl.min(tl.where(distance == best[:, None], ids[None, :], num_codes), 1)
        here = tl.where(best < least, first_best, here)  # an equal distance later on does not win
        least = tl.minimum(best, least)
    tl.store(far + rows * parts + part, least, rows < count)
    tl.store(nearest + rows * parts + part, here, rows < count)


@jit
def _best(far, nearest, codes, count, parts, ROWS: tl.constexpr, PARTS: tl.constexpr):
    rows, part = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, PARTS)
    inside = (rows < count)[:, None] & (part < parts)[None, :]
    where = rows[:, None] * parts + part[None, :]
    least = tl.load(far + where, inside, other=float("inf"))
    first_best = tl.where(least == tl.min(least, 1)[:, None], part[None, :], PARTS)
    chosen = tl.where(part[None, :] == tl.min(first_best, 1)[:, None], tl.load(nearest + where, inside, other=0), 0)
    tl.store(codes + rows, tl.sum(chosen, 1).to(tl.int64), rows < count)


@jit
def _tile(values, rows, channel, count, channels):
    inside = (rows < count)[:, None] & (channel < channels)[None, :]
    return tl.load(values + rows[:, None].to(tl.int64) * channels + channel[None, :], inside, other=0.0).to(tl.float32)


_SIZES = dict.fromkeys(("count", "num_codes", "channels", "parts", "walk"), "i32")
BUILDS = (
    Build(
        _search,
        {"vectors": "*fp32", "codebook": "*fp32", "far": "*fp32", "nearest": "*i32", **_SIZES},
        {"ROWS": ROWS, "CODES": CODES, "WIDTH": 64},
    ),
    Build(
        _best,
        {"far": "*fp32", "nearest": "*i32", "codes": "*i64", "count": "i32", "parts": "i32"},
        {"ROWS": ROWS, "PARTS": 16},
    ),
)
