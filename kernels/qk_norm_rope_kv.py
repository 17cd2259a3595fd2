"""From a layer's projection to its attention in one launch: norms of q and k, rotary embedding, write to the cache.

    q, k = norm(q), norm(k)                     per head, over its D numbers; or none
    q, k = q cos + swapped(q) sin, the same of k    (RoFormer, arXiv 2104.09864), on the first ``rotary_dim`` numbers
    keys[:, :, slot], values[:, :, slot] = k, v     slot = min(position, capacity - 1)

for W new tokens in each of R rows: ``q``, ``k``, ``v`` [R, H, W, D] of any strides (read in place where a head's
numbers lie side by side), ``positions`` int64 [R, W] on the device and not negative, ``keys`` and ``values`` [R, H,
capacity, D], one layer of a static cache, whose slots and owners ``engine/models/kv_cache.py`` explains. q is returned,
k and v lie in the cache; or, ``apart``, in buffers of the W new tokens alone, as ``engine/models/read_cache.py`` wants
them. 6 R H W D numbers move, and two rows of the tables a token.

``cos`` and ``sin`` [positions, rotary_dim] hold each angle twice, sin once negated, for rotary_dim = 4, angles a and b:

    interleaved, pairs (0, 1) (2, 3), as LLaMA has it      cos a, cos a, cos b, cos b     -sin a, sin a, -sin b, sin b
    halves, pairs (0, 2) (1, 3), as GPT-NeoX has it        cos a, cos b, cos a, cos b     -sin a, -sin b, sin a, sin b

and ``swapped`` exchanges the two numbers of each pair. A position beyond the tables takes their last row, a slot beyond
the cache its last one: both are padding's, and a caller that feeds padding owns neither.

norm "rms" is x / sqrt(mean(x^2) + eps), rounded, times the weight; "layer" is (x - mean) / sqrt(var + eps) * weight +
bias, var as the mean of squared deviations; weights are [D], one for all heads. float32 inside, rounded after the norm
and after the rotation, products and sums unfused: without a norm the result has the reference's bits. Kernels take
float32, bfloat16 and float16 with float32 tables; float64 always goes through the reference.

A NaN stays in its pair without a norm, in its head and token with one; of v, in its place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .jit import FLOATS, Build, jit, next_power_of_2, on_triton, tl

WEIGHTS = ("q_weight", "q_bias", "k_weight", "k_bias")
WEIGHTS_OF = {"none": (), "rms": ("q_weight", "k_weight"), "layer": WEIGHTS}
TILE = 512  # numbers of the heads that a program takes; decode has few, and more programs start sooner than larger ones


def heads_of(fused: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """One projection [R, W, 3 H D] -> views q, k, v [R, H, W, D], as the operator reads them in place."""
    q, k, v = fused.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind()
    return q, k, v


def head_norm_reference(x: Tensor, norm: str, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """``x`` [..., D], ``weight`` and ``bias`` [D] -> [..., D]; float64 stays float64."""
    if norm == "none":
        return x
    if norm == "layer":
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
    assert weight is not None
    wide = x if x.dtype == torch.float64 else x.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return wide.to(x.dtype) * weight


def rotate_reference(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    """``x`` [R, H, W, D] by the rows ``cos`` and ``sin`` [R, 1, W, rotary_dim] of its positions -> [R, H, W, D]."""
    size = cos.shape[-1]
    turned = x if size == x.shape[-1] else x[..., :size]
    swapped = turned.unflatten(-1, (-1, 2)).flip(-1).flatten(-2) if interleaved else turned.roll(size // 2, -1)
    turned = (turned * cos + swapped * sin).to(x.dtype)
    return turned if size == x.shape[-1] else torch.cat((turned, x[..., size:]), -1)


def qk_norm_rope_kv_reference(
    q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, positions: Tensor, keys: Tensor, values: Tensor,
    interleaved: bool = True, norm: str = "none", q_weight: Tensor | None = None, q_bias: Tensor | None = None,
    k_weight: Tensor | None = None, k_bias: Tensor | None = None, eps: float = 1e-5, apart: bool = False,
) -> Tensor:  # fmt: skip
    """Writes ``keys`` and ``values``, returns q [R, H, W, D]; float64 stays float64 with tables of float64.

    ``apart``: the buffers are [R, H, W, D] and hold the new tokens alone, each at its own index."""
    q = head_norm_reference(q, norm, q_weight, q_bias, eps)
    k = head_norm_reference(k, norm, k_weight, k_bias, eps)
    rows = positions.clamp(max=len(cos) - 1)
    cos, sin = cos[rows].unsqueeze(1), sin[rows].unsqueeze(1)
    q, k = rotate_reference(q, cos, sin, interleaved), rotate_reference(k, cos, sin, interleaved)
    slots = torch.arange(k.shape[2], device=k.device).expand_as(positions) if apart else positions
    slots = slots.clamp(max=keys.shape[2] - 1)[:, None, :, None].expand_as(k)
    keys.scatter_(2, slots, k.to(keys.dtype))
    values.scatter_(2, slots, v.to(values.dtype))
    return q


@torch.library.custom_op("acdc::qk_norm_rope_kv", mutates_args=("keys", "values"))
def qk_norm_rope_kv(
    q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, positions: Tensor, keys: Tensor, values: Tensor,
    interleaved: bool = True, norm: str = "none", q_weight: Tensor | None = None, q_bias: Tensor | None = None,
    k_weight: Tensor | None = None, k_bias: Tensor | None = None, eps: float = 1e-5, apart: bool = False,
) -> Tensor:  # fmt: skip
    """As :func:`qk_norm_rope_kv_reference`: by our kernel on CUDA, by the reference elsewhere."""
    tables, cache, weights = (cos, sin), (keys, values), (q_weight, q_bias, k_weight, k_bias)
    _check(q, k, v, tables, positions, cache, norm, weights)
    if on_triton(q) and q.dtype in FLOATS:
        return _launch(q, k, v, tables, positions, cache, interleaved, norm, weights, eps, apart)
    given = (q, k, v, *tables, positions, *cache, interleaved, norm, *weights, eps, apart)
    return qk_norm_rope_kv_reference(*given).contiguous()


@qk_norm_rope_kv.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, positions: Tensor, keys: Tensor, values: Tensor,
    interleaved: bool = True, norm: str = "none", q_weight: Tensor | None = None, q_bias: Tensor | None = None,
    k_weight: Tensor | None = None, k_bias: Tensor | None = None, eps: float = 1e-5, apart: bool = False,
) -> Tensor:  # fmt: skip
    _check(q, k, v, (cos, sin), positions, (keys, values), norm, (q_weight, q_bias, k_weight, k_bias))
    return torch.empty(q.shape, dtype=q.dtype, device=q.device)


Pair = tuple[Tensor, Tensor]
Weights = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]


def _check(
    q: Tensor, k: Tensor, v: Tensor, tables: Pair, positions: Tensor, cache: Pair, norm: str, weights: Weights
) -> None:
    if norm not in WEIGHTS_OF:
        raise ValueError(f"unknown norm {norm!r}; choose among {', '.join(WEIGHTS_OF)}")
    if q.ndim != 4 or not q.shape == k.shape == v.shape or not q.dtype == k.dtype == v.dtype:
        shapes = ", ".join(f"{list(part.shape)} {part.dtype}" for part in (q, k, v))
        raise ValueError(f"q, k and v must be [R, H, W, D] of one shape and type, not {shapes}")
    rows, heads, tokens, size = q.shape
    if positions.shape != (rows, tokens) or positions.dtype != torch.int64:
        raise ValueError(f"positions must be int64 [{rows}, {tokens}], not {list(positions.shape)} {positions.dtype}")
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    for name, table in zip(("cos", "sin"), tables, strict=True):
        fits = table.ndim == 2 and table.shape == tables[0].shape and table.dtype == wide
        if not fits or table.shape[1] % 2 or not 0 < table.shape[1] <= size:
            raise ValueError(
                f"{name} {list(table.shape)} {table.dtype} must be [positions, rotary_dim] {wide}, "
                f"rotary_dim even and at most {size}"
            )
    for name, buffer in zip(("keys", "values"), cache, strict=True):
        if buffer.shape != (rows, heads, cache[0].shape[2], size) or not buffer.is_contiguous():
            raise ValueError(f"{name} {list(buffer.shape)} must be contiguous [{rows}, {heads}, capacity, {size}]")
    needed = WEIGHTS_OF[norm]
    for name, weight in zip(WEIGHTS, weights, strict=True):
        shape = None if weight is None else list(weight.shape)
        wanted = [size] if name in needed else None
        if shape != wanted:
            raise ValueError(f"{name} must be {wanted} for norm {norm!r}, not {shape}")


def _launch(
    q: Tensor, k: Tensor, v: Tensor, tables: Pair, positions: Tensor, cache: Pair,
    interleaved: bool, norm: str, weights: Weights, eps: float, apart: bool,
) -> Tensor:  # fmt: skip
    rows, heads, tokens, size = q.shape
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    if not q.numel():
        return out
    parts = [part if part.stride(3) == 1 else part.contiguous() for part in (q, k, v)]
    strides = [step for part in parts for step in part.stride()[:3]]
    cos, sin = (table.contiguous() for table in tables)
    held = (None if weight is None else weight.contiguous() for weight in weights)
    width, block = next_power_of_2(size), heads_block(heads, size)
    blocks = -(-heads // block)
    _kernel[(rows * tokens * blocks,)](
        *parts, *strides, cos, sin, len(cos), positions.contiguous(), *held, eps,
        out, *cache, cache[0].shape[2], heads, tokens, blocks,
        interleaved, norm, size, cos.shape[1], width, block, apart,
        enable_fp_fusion=False,  # the reference rounds products before it adds them
    )  # fmt: skip
    return out


def heads_block(heads: int, size: int) -> int:
    """Number of heads of ``size`` numbers in one program."""
    return min(next_power_of_2(heads), max(1, TILE // next_power_of_2(size)))


@jit
def _kernel(
    q, k, v, q_row, q_head, q_token, k_row, k_head, k_token, v_row, v_head, v_token,
    cos, sin, angles, positions, q_weight, q_bias, k_weight, k_bias, eps,
    out, keys, values, capacity, heads, tokens, blocks,
    INTERLEAVED: tl.constexpr, NORM: tl.constexpr, SIZE: tl.constexpr, ROTARY: tl.constexpr, WIDTH: tl.constexpr,
    HEADS: tl.constexpr, APART: tl.constexpr,
):  # fmt: skip
    """One token of one row, some of its heads."""
    place = tl.program_id(0) // blocks
    row, token = (place // tokens).to(tl.int64), (place % tokens).to(tl.int64)
    head = tl.program_id(0) % blocks * HEADS + tl.arange(0, HEADS)[:, None]
    index = tl.arange(0, WIDTH)[None, :]
    inside = (head < heads) & (index < SIZE)
    turns = index < ROTARY
    half: tl.constexpr = ROTARY // 2
    partner = index ^ 1 if INTERLEAVED else tl.where(index < half, index + half, index - half)

    position = tl.load(positions + place)
    angle = tl.minimum(position, angles - 1) * ROTARY + index
    c = tl.load(cos + angle, turns, other=1.0)
    s = tl.load(sin + angle, turns, other=0.0)
    fresh = q + row * q_row + head * q_head + token * q_token
    turned = _turned(fresh, q_weight, q_bias, eps, index, partner, inside, turns, c, s, NORM, SIZE)
    to = ((row * heads + head) * tokens + token) * SIZE + index
    tl.store(out + to, turned, inside)

    slot = token if APART else tl.minimum(position, capacity - 1)
    to = ((row * heads + head) * capacity + slot) * SIZE + index
    fresh = k + row * k_row + head * k_head + token * k_token
    turned = _turned(fresh, k_weight, k_bias, eps, index, partner, inside, turns, c, s, NORM, SIZE)
    tl.store(keys + to, turned, inside)
    fresh = v + row * v_row + head * v_head + token * v_token
    tl.store(values + to, tl.load(fresh + index, inside), inside)


@jit
def _turned(x, weight, bias, eps, index, partner, inside, turns, c, s, NORM: tl.constexpr, SIZE: tl.constexpr):
    """Heads that begin at ``x`` [HEADS, 1], normed and rotated, in their own type."""
    dtype: tl.constexpr = x.dtype.element_ty
    value = tl.load(x + index, inside, other=0.0).to(tl.float32)
    swapped = tl.load(x + partner, inside & turns, other=0.0).to(tl.float32)  # the lines just read, from L1
    if NORM != "none":
        mean = tl.sum(value, 1, keep_dims=True) / SIZE if NORM == "layer" else 0.0
        off = tl.where(inside, value - mean, 0.0)
        scale = tl.rsqrt(tl.sum(off * off, 1, keep_dims=True) / SIZE + eps)
        value = _normed(off * scale, weight, bias, index, SIZE, NORM, dtype)
        swapped = _normed((swapped - mean) * scale, weight, bias, partner, SIZE, NORM, dtype)
    return tl.where(turns, value * c + swapped * s, value).to(dtype)


@jit
def _normed(value, weight, bias, index, SIZE: tl.constexpr, NORM: tl.constexpr, dtype: tl.constexpr):
    """Weight and bias of the places ``index``, rounded as the reference rounds."""
    if NORM == "rms":
        value = value.to(dtype).to(tl.float32)
    value *= tl.load(weight + index, index < SIZE, other=0.0).to(tl.float32)
    if NORM == "layer":
        value += tl.load(bias + index, index < SIZE, other=0.0).to(tl.float32)
    return value.to(dtype).to(tl.float32)


_TENSORS = dict.fromkeys(("q", "k", "v", "out", "keys", "values"), "*bf16")
_TABLES = {**dict.fromkeys(("cos", "sin"), "*fp32"), "positions": "*i64"}
_STRIDES = dict.fromkeys((f"{part}_{step}" for part in "qkv" for step in ("row", "head", "token")), "i32")
_SIZES = dict.fromkeys(("angles", "capacity", "heads", "tokens", "blocks"), "i32")


def _build(size: int, rotary: int, interleaved: bool, norm: str, apart: bool = False) -> Build:
    """Launch for 32 heads."""
    given = WEIGHTS_OF[norm]
    signature = {**_TENSORS, **_TABLES, **_STRIDES, **_SIZES, "eps": "fp32", **dict.fromkeys(given, "*bf16")}
    constants = dict.fromkeys(name for name in WEIGHTS if name not in given)
    shape = {"SIZE": size, "ROTARY": rotary, "WIDTH": next_power_of_2(size), "HEADS": heads_block(32, size)}
    shape["APART"] = apart
    return Build(_kernel, signature, {"INTERLEAVED": interleaved, "NORM": norm, **shape, **constants}, fp_fusion=False)


BUILDS = (
    _build(128, 128, True, "none"),  # LWM-7B
    _build(128, 128, True, "none", apart=True),
    _build(64, 32, False, "layer"),  # Show-o
    _build(64, 32, False, "layer", apart=True),
    _build(128, 128, False, "rms"),
)
