"""Counter-based random numbers: Philox4x32-10, in plain PyTorch and as functions that other kernels call.

Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) maps a 128-bit counter and a 64-bit key
to 128 random bits. A story's row of ``keys`` is (seed low, seed high, chunk, purpose), and value i of a position is

    word i mod 4 of philox(counter=(i div 4, position, chunk, purpose), key=(seed low, seed high))

    uniform u = (word + 1/2) / 2^32        Gumbel -log(-log u)        float64, Gumbel and normals rounded to float32
    normals   sqrt(-2 log u) cos(2 pi u'), sqrt(-2 log u) sin(2 pi u')       of consecutive pairs (u, u'): Box-Muller

Words are integers and equal everywhere. Two libraries' float64 ``log`` differs by a unit or two in the last of 53
bits, which changes a rounding to 24 bits about once in 2^28 draws. Nothing is read but keys and positions, and 4 bytes
a value are written (8 for bits).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .jit import Build, jit, next_power_of_2, on_triton, tl

MASK = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
KINDS = ("bits", "gumbel", "normal")
WIDEST = 1024  # values a program


def philox(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Philox4x32-10: four counter words and two key words -> four words, all int64 holding 32-bit values."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        # The product wraps modulo 2^64 and the shift is arithmetic; masking leaves exactly the high word.
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = ((p1 >> 32) & MASK) ^ c1 ^ k0, p1 & MASK, ((p0 >> 32) & MASK) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def random_bits(keys: Tensor, positions: Tensor, count: int) -> Tensor:
    """``count`` 32-bit integers for each position: int64 [B, W, count].

    ``keys`` int64 [B, 4]; ``positions`` int64 [W], or [B, W] where stories are at different ones. Ask for many
    positions at once: the cost is about a hundred small operations however many there are.
    """
    blocks = torch.arange((count + 3) // 4, device=keys.device)
    position = positions.expand(keys.shape[0], -1) if positions.dim() == 1 else positions
    shape = (*position.shape, blocks.shape[0])
    seed_low, seed_high, chunk, purpose = (column[:, None, None].expand(shape) for column in keys.unbind(1))
    counter = (blocks.expand(shape), position[:, :, None].expand(shape), chunk, purpose)
    words = philox(counter, (seed_low, seed_high))
    return torch.stack(words, dim=-1).flatten(2)[..., :count]


def uniform(keys: Tensor, positions: Tensor, count: int) -> Tensor:
    """float64 [B, W, count], strictly inside (0, 1): (bits + 1/2) / 2^32."""
    return (random_bits(keys, positions, count).double() + 0.5) * 2.0**-32


def gumbel(keys: Tensor, positions: Tensor, count: int) -> Tensor:
    """Standard Gumbel noise -log(-log u), float32 [B, W, count]; argmax(logits + noise) samples softmax(logits)."""
    return (-torch.log(-torch.log(uniform(keys, positions, count)))).float()


def normal(keys: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard normals, float32 [B, *shape], by Box-Muller on consecutive pairs at position 0."""
    size = torch.Size(shape).numel()
    zero = torch.zeros(1, dtype=torch.int64, device=keys.device)
    return _normals(keys, zero, size).reshape(-1, *shape)


def _normals(keys: Tensor, positions: Tensor, count: int) -> Tensor:
    first, second = uniform(keys, positions, count + count % 2).unflatten(-1, (-1, 2)).unbind(-1)
    radius, angle = torch.sqrt(-2.0 * torch.log(first)), 2.0 * torch.pi * second
    pairs = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)
    return pairs.flatten(-2)[..., :count].float()


def draw_reference(keys: Tensor, positions: Tensor, count: int, kind: str) -> Tensor:
    """Values 0 .. ``count`` - 1 of each position [B, W, count]: int64 of 32 bits, or float32 for "gumbel" and "normal";
    ``keys`` and ``positions`` as in :func:`random_bits`. ``ValueError`` for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of draw {kind!r}; choose {', '.join(KINDS)}")
    return (random_bits, gumbel, _normals)[KINDS.index(kind)](keys, positions, count)


@torch.library.custom_op("acdc::draw", mutates_args=())
def draw(keys: Tensor, positions: Tensor, count: int, kind: str) -> Tensor:
    """As :func:`draw_reference`: by our kernel on CUDA, in one launch, by the reference elsewhere."""
    if not on_triton(keys) or kind not in KINDS:
        return draw_reference(keys, positions, count, kind)
    keys, positions = keys.contiguous(), positions.expand(len(keys), -1).contiguous()
    dtype = torch.int64 if kind == "bits" else torch.float32
    values = torch.empty(*positions.shape, count, dtype=dtype, device=keys.device)
    if values.numel():
        block = min(WIDEST, max(4, next_power_of_2(count)))
        grid = (positions.numel(), -(-count // block))
        _draw[grid](keys, positions, values, positions.shape[1], count, kind, block, enable_fp_fusion=False)
    return values


@draw.register_fake
def _(keys: Tensor, positions: Tensor, count: int, kind: str) -> Tensor:
    dtype = torch.int64 if kind == "bits" else torch.float32
    return torch.empty(len(keys), positions.shape[-1], count, dtype=dtype, device=keys.device)


@jit
def _draw(keys, positions, values, width, count, KIND: tl.constexpr, BLOCK: tl.constexpr):
    row, first = tl.program_id(0), tl.program_id(1) * BLOCK
    keys, position = keys + row // width * 4, tl.load(positions + row)
    if KIND == "bits":
        value = bit_values(keys, position, first, BLOCK).to(tl.int64)
    elif KIND == "gumbel":
        value = gumbel_values(keys, position, first, BLOCK)
    else:
        value = normal_values(keys, position, first, BLOCK)
    offsets = first + tl.arange(0, BLOCK)
    tl.store(values + row.to(tl.int64) * count + offsets, value, offsets < count)


@jit
def bit_values(keys, position, first, COUNT: tl.constexpr):
    """uint32 [COUNT]: values ``first``, ``first`` + 1, ... of a position; ``first`` and COUNT are multiples of 4, and
    ``keys`` points at the story's row."""
    w0, w1, w2, w3 = _words(keys, position, first, COUNT)
    return _in_order(w0, w1, w2, w3)


@jit
def gumbel_values(keys, position, first, COUNT: tl.constexpr):
    """Standard Gumbel noise, float32 [COUNT], from the same values as :func:`bit_values`."""
    return _gumbel(bit_values(keys, position, first, COUNT))


@jit
def gumbel_argmax(value, keys, position, first, COUNT: tl.constexpr):
    """(largest of ``value`` [COUNT] + Gumbel noise of ids ``first``, ..., the first id that has it), to the bit as with
    :func:`gumbel_values`: float64 is spent only on what an estimate in float32 puts within reach. (-inf, ``first``)
    if all are -inf; NaN never wins."""
    bits, ids = bit_values(keys, position, first, COUNT), first + tl.arange(0, COUNT)
    near = value + _gumbel_estimate(bits)
    top = tl.max(near, 0)
    reach = 0.001 + tl.abs(top) * 2**-20  # many times what the estimate, and the rounding of the sum, can be off
    left = ((near >= top - reach) | (near == top)) & (value > float("-inf"))
    best, found, none = float("-inf"), first, first + COUNT
    this = tl.min(tl.where(left, ids, none), 0)
    while this < none:
        here = ids == this
        noise = _gumbel(tl.sum(tl.where(here, bits, 0), 0))
        score = tl.max(tl.where(here, value, float("-inf")), 0) + noise
        found = tl.where(score > best, this, found)
        best = tl.maximum(best, score)
        this = tl.min(tl.where(left & (ids > this), ids, none), 0)
    return best, found


@jit
def normal_values(keys, position, first, COUNT: tl.constexpr):
    """Standard normals, float32 [COUNT], from the same values as :func:`bit_values`."""
    w0, w1, w2, w3 = _words(keys, position, first, COUNT)
    z0, z1 = _box_muller(w0, w1)
    z2, z3 = _box_muller(w2, w3)
    return _in_order(z0, z1, z2, z3)


@jit
def _words(keys, position, first, COUNT: tl.constexpr):
    k0, k1 = tl.load(keys).to(tl.uint32), tl.load(keys + 1).to(tl.uint32)
    c2, c3 = tl.load(keys + 2).to(tl.uint32), tl.load(keys + 3).to(tl.uint32)
    c0 = (first // 4 + tl.arange(0, COUNT // 4)).to(tl.uint32)
    c1 = position.to(tl.uint32)
    for _ in tl.static_range(10):
        high0, low0 = tl.umulhi(c0, 0xD2511F53), c0 * 0xD2511F53
        high1, low1 = tl.umulhi(c2, 0xCD9E8D57), c2 * 0xCD9E8D57
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + 0x9E3779B9, k1 + 0xBB67AE85
    return c0, c1, c2, c3


@jit
def _in_order(v0, v1, v2, v3):
    """Four values of each block, one block after another."""
    return tl.interleave(tl.interleave(v0, v2), tl.interleave(v1, v3))


@jit
def _uniform(bits):
    return (bits.to(tl.float64) + 0.5) * 2.3283064365386963e-10


@jit
def _gumbel(bits):
    return (-tl.log(-tl.log(_uniform(bits)))).to(tl.float32)


@jit
def _gumbel_estimate(bits):
    """Within 2^-14: near u = 1, where a float32 would lose it, -log u is a series in 1 - u."""
    rest = ((bits ^ 0xFFFFFFFF).to(tl.float32) + 0.5) * 2.3283064365386963e-10
    whole = -tl.log((bits.to(tl.float32) + 0.5) * 2.3283064365386963e-10)
    return -tl.log(tl.where(rest < 0.0078125, rest * (1.0 + rest * (0.5 + rest * 0.33333334)), whole))


@jit
def _box_muller(one, other):
    radius = tl.sqrt(-2.0 * tl.log(_uniform(one)))
    cosine, sine = _cos_sin(6.283185307179586 * _uniform(other))
    return (radius * cosine).to(tl.float32), (radius * sine).to(tl.float32)


@jit
def _cos_sin(angle):
    """Cosine and sine of angles from 0 to 2 pi, within two units in the last place of float64: back to the nearest
    quarter turn, whose product with the upper part of pi / 2 is exact, then Taylor's series, nested. The GPU library's
    functions would do, but they keep a stack for angles that do not occur here."""
    quarter = tl.floor(angle * 0.6366197723675814 + 0.5)
    rest = (angle - quarter * 1.5707963267948966) - quarter * 6.123233995736766e-17
    square = rest * rest
    cosine, sine = 1.0 - square * (1.0 / 306.0), 1.0 - square * (1.0 / 342.0)
    cosine, sine = 1.0 - square * cosine * (1.0 / 240.0), 1.0 - square * sine * (1.0 / 272.0)
    cosine, sine = 1.0 - square * cosine * (1.0 / 182.0), 1.0 - square * sine * (1.0 / 210.0)
    cosine, sine = 1.0 - square * cosine * (1.0 / 132.0), 1.0 - square * sine * (1.0 / 156.0)
    cosine, sine = 1.0 - square * cosine * (1.0 / 90.0), 1.0 - square * sine * (1.0 / 110.0)
    cosine, sine = 1.0 - square * cosine * (1.0 / 56.0), 1.0 - square * sine * (1.0 / 72.0)
    cosine, sine = 1.0 - square * cosine * (1.0 / 30.0), 1.0 - square * sine * (1.0 / 42.0)
    cosine, sine = 1.0 - square * cosine * (1.0 / 12.0), 1.0 - square * sine * (1.0 / 20.0)
    cosine, sine = 1.0 - square * cosine * (1.0 / 2.0), 1.0 - square * sine * (1.0 / 6.0)
    sine = sine * rest
    swapped = (quarter == 1.0) | (quarter == 3.0)
    x, y = tl.where(swapped, sine, cosine), tl.where(swapped, cosine, sine)
    return tl.where((quarter == 1.0) | (quarter == 2.0), -x, x), tl.where((quarter == 2.0) | (quarter == 3.0), -y, y)


_TYPES = {"keys": "*i64", "positions": "*i64", "width": "i32", "count": "i32"}
BUILDS = tuple(
    Build(_draw, {**_TYPES, "values": pointer}, {"KIND": kind, "BLOCK": WIDEST}, fp_fusion=False)
    for kind, pointer in (("bits", "*i64"), ("gumbel", "*fp32"), ("normal", "*fp32"))
)
