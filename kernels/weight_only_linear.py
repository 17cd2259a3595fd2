"""A linear layer for few rows, whose time is that of reading its weight: in the rows' type, int8 or fp8 (e4m3).

    y[m, n] = scale[n] sum_k x[m, k] W[n, k] + bias[n]                          one scale a channel
    y[m, n] = sum_g scale[n, g] sum_(k in group g) x[m, k] W[n, k] + bias[n]    or one a group of inputs (int8)

``x`` [..., K] is float16, bfloat16 or float32; W [N, K] is of the same type without scales, or int8 or fp8 with float32
scales, which multiply float32 sums. N K numbers of W move, and M (N + K) besides. More than 64 rows are served too,
but W is read again for each 64, which is work for a library's matrix product. fp8 needs compute capability 8.9.

Without scales exact up to the order of sums. **int8 and fp8 are lossy**: a weight w is off by at most half a step,

    int8    |w - w'| <= scale / 2                      scale = max |w| of the channel or group / 127
    fp8     |w - w'| <= max(|w| / 16, scale / 1024)    scale = max |w| of the channel / 448

(and float32's rounding), and so y[m, n] by at most sum_k |x[m, k]| |w - w'|.

One or two rows (a story's guidance branches) are multiplied and summed as they are, more go through ``tl.dot``, padded
to 16, 32 or 64. Where N is too small to fill a GPU, K is split: each split writes its part, and a second launch sums
the parts in their order, so that the bits are the same each time.

A row of x with a NaN becomes NaN, one with an infinity NaN or infinite; other rows are not touched by it.
float64 is computed by the reference.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .jit import Build, interpreted, jit, next_power_of_2, on_triton, tl

KINDS = {"int8": (torch.int8, 127.0), "fp8": (torch.float8_e4m3fn, 448.0)}  # and the largest number of each
GROUPS = (32, 64, 128, 256)
PLAIN_ROWS = 2  # at most, that do without matrix units
SUMMED = 256  # outputs of a program of the second launch
PROGRAMS = 264  # two on each of an H200's 132 multiprocessors keep its memory busy


def quantise(weight: Tensor, kind: str, group: int | None = None) -> tuple[Tensor, Tensor]:
    """``weight`` [N, K] -> the same in ``kind`` ("int8", "fp8"), and float32 scales [N], or [N, K / group] for int8.

    Lossy: see the module for how far off a weight may be. A channel or group of zeros has the scale 1. ``ValueError``
    for an unknown kind, a group that does not fit, or a weight that is not finite.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of weights {kind!r}; choose among {', '.join(KINDS)}")
    inputs = weight.shape[1]
    if group is not None and (kind != "int8" or group not in GROUPS or inputs % group):
        sizes = ", ".join(map(str, GROUPS))
        raise ValueError(f"{kind} of {inputs} inputs in groups of {group}; int8 takes {sizes} that divide them")
    if not weight.isfinite().all():
        raise ValueError(f"a weight [{', '.join(map(str, weight.shape))}] with NaN or infinity cannot become {kind}")
    dtype, largest = KINDS[kind]
    wide = weight.float() if group is None else weight.float().unflatten(1, (-1, group))
    scales = wide.abs().amax(-1) / largest
    scales = scales.masked_fill(scales == 0, 1.0)
    steps = wide / scales[..., None]
    packed = steps.round() if kind == "int8" else steps
    return packed.clamp(-largest, largest).to(dtype).reshape(weight.shape), scales


def weight_only_linear_reference(
    x: Tensor, weight: Tensor, scales: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """``x`` [..., K], ``weight`` [N, K], ``scales`` [N] or [N, groups], ``bias`` [N] -> [..., N] in x's type.

    float64 stays float64 throughout.
    """
    if scales is None:
        return F.linear(x, weight, bias)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    full = weight.to(wide).unflatten(1, (-1, weight.shape[1] // scales[0].numel())) * scales.view(len(weight), -1, 1)
    return F.linear(x.to(wide), full.flatten(1), None if bias is None else bias.to(wide)).to(x.dtype)


@torch.library.custom_op("acdc::weight_only_linear", mutates_args=())
def weight_only_linear(x: Tensor, weight: Tensor, scales: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """As :func:`weight_only_linear_reference`: by our kernel on CUDA, by the reference elsewhere and in float64.

    ``ValueError`` where the weight's type and the scales do not belong together.
    """
    packed = [dtype for dtype, _ in KINDS.values()]
    if weight.dtype not in packed if scales is not None else weight.dtype != x.dtype:
        have = f"weights of {weight.dtype} {'without' if scales is None else 'with'} scales for x of {x.dtype}"
        raise ValueError(f"{have}; choose x's type without, or {' or '.join(map(str, packed))} with scales")
    if x.is_cuda:
        check_capability(weight.dtype, torch.cuda.get_device_capability(x.device))
    if on_triton(x) and x.dtype != torch.float64:
        return _launch(x, weight, scales, bias)
    return weight_only_linear_reference(x, weight, scales, bias)


@weight_only_linear.register_fake
def _(x: Tensor, weight: Tensor, scales: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))


def check_capability(dtype: torch.dtype, capability: tuple[int, int]) -> None:
    """``ValueError`` for fp8 on a GPU that does not know it."""
    if dtype == torch.float8_e4m3fn and capability < (8, 9):
        have = ".".join(map(str, capability))
        raise ValueError(f"fp8 weights need compute capability 8.9, this GPU has {have}; choose int8")


class Tile(NamedTuple):
    """Tile of a program: ``dot`` through matrix units, else by products and sums."""

    dot: bool
    rows: int
    outputs: int
    inputs: int
    num_warps: int
    num_stages: int


def tile(rows: int, x_bytes: int, weight_bytes: int, group: int | None = None) -> Tile:
    """For ``rows`` of x, and numbers of this size in bytes; the inputs of a tile are of one group.

    One or two rows take 512 bytes of a channel at a time, which a warp reads at once; not with groups, whose shorter
    runs suit matrix units better. There the outputs grow with the rows: every program reads all rows of x, and should
    not read more of x than of the weight. float32 has no matrix units here, and needs registers.
    """
    if rows <= PLAIN_ROWS and group is None:
        inputs = 512 // weight_bytes
        return Tile(False, rows, 4096 // inputs, inputs, 4, 4)
    if x_bytes == 4:
        return Tile(True, 16, 32, 32, 4, 4)
    padded = min(64, max(16, next_power_of_2(rows)))
    inputs = min(128 if padded == 16 and group is None else 64, group or 128)
    return Tile(True, padded, max(2 * padded, 64 // weight_bytes), inputs, 8 if padded == 64 else 4, 4)


def split_count(tiles: int, blocks: int) -> int:
    """Among how many programs the blocks of a tile's inputs are shared out: enough to fill the GPU, by sizes alone."""
    return max(1, min(PROGRAMS // max(1, tiles), blocks))


def _launch(x: Tensor, weight: Tensor, scales: Tensor | None, bias: Tensor | None) -> Tensor:
    flat = x.reshape(-1, x.shape[-1])
    flat = flat if flat.stride(1) == 1 else flat.contiguous()
    (rows, size), outputs = flat.shape, len(weight)
    assert weight.shape[1] == size, f"weight {tuple(weight.shape)} for x {tuple(x.shape)}"
    assert weight.stride(1) == 1, "a channel's weights lie side by side"
    assert scales is None or len(scales) == outputs, f"{len(scales)} scales for {outputs} channels"
    y = torch.empty(*x.shape[:-1], outputs, dtype=x.dtype, device=x.device)
    if not y.numel():
        return y
    scaled, biased = scales is not None, bias is not None
    group = size // scales.shape[1] if scales is not None and scales.ndim == 2 else None
    assert group is None or group in GROUPS, f"groups of {group}"
    dot, rows_each, outputs_each, inputs_each, num_warps, num_stages = tile(
        rows, x.element_size(), weight.element_size(), group
    )
    across, down = -(-rows // rows_each), -(-outputs // outputs_each)
    blocks = max(1, -(-size // inputs_each))
    walk = -(-blocks // split_count(across * down, blocks))
    splits = -(-blocks // walk)
    parts = y if splits == 1 else torch.empty(splits, rows, outputs, dtype=torch.float32, device=x.device)
    scales, bias = y if scales is None else scales.contiguous(), y if bias is None else bias.contiguous()
    last = (scaled and group is None, biased, splits)
    what = (flat, weight, scales, bias, parts, rows, outputs, size, walk, flat.stride(0), weight.stride(0), *last)
    if dot:
        tiles = (rows_each, outputs_each, inputs_each, num_stages)
        how = {"num_warps": num_warps, "num_stages": num_stages}
        _multiply[(across, down, splits)](*what, *tiles, group, interpreted(), **how)
    else:
        _multiply_plain[(1, down, splits)](*what, rows, outputs_each, inputs_each, num_stages)
    if splits > 1:
        _sum[(rows, -(-outputs // SUMMED))](parts, scales, bias, y, rows, outputs, *last, SUMMED)
    return y


@jit
def _multiply(
    x, weight, scales, bias, out, rows, outputs, size, walk, x_step, weight_step,
    SCALED: tl.constexpr, BIASED: tl.constexpr, SPLITS: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, STAGES: tl.constexpr,
    GROUP: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column, lane = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS), tl.arange(0, INPUTS)
    x += row[:, None].to(tl.int64) * x_step + lane[None, :]
    weight += column[:, None].to(tl.int64) * weight_step + lane[None, :]
    begin = tl.program_id(2) * walk * INPUTS
    acc = tl.zeros((ROWS, OUTPUTS), tl.float32)
    for first in tl.range(begin, tl.minimum(begin + walk * INPUTS, size), INPUTS, num_stages=STAGES):
        inside = (first + lane < size)[None, :]
        a = tl.load(x + first, inside & (row < rows)[:, None], other=0.0)
        w = tl.load(weight + first, inside & (column < outputs)[:, None], other=0.0)
        if WIDEN:  # the interpreter cannot multiply bfloat16
            part = tl.dot(a.to(tl.float32), tl.trans(w.to(tl.float32)), input_precision="ieee")
        else:
            part = tl.dot(a, tl.trans(w.to(a.dtype)), input_precision="ieee")
        if GROUP is not None:
            scale = tl.load(scales + column * (size // GROUP) + first // GROUP, column < outputs, other=0.0)
            part *= scale[None, :]
        acc += part
    inside = (row < rows)[:, None] & (column < outputs)[None, :]
    _store(out, acc, scales, bias, row[:, None], column[None, :], inside, rows, outputs, SCALED, BIASED, SPLITS)


@jit
def _multiply_plain(
    x, weight, scales, bias, out, rows, outputs, size, walk, x_step, weight_step,
    SCALED: tl.constexpr, BIASED: tl.constexpr, SPLITS: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """One row or two: products are gathered where the weights lie, and summed over the inputs at the end."""
    column, lane = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS), tl.arange(0, INPUTS)
    weight += column[:, None].to(tl.int64) * weight_step + lane[None, :]
    begin = tl.program_id(2) * walk * INPUTS
    acc, acc_2 = tl.zeros((OUTPUTS, INPUTS), tl.float32), tl.zeros((OUTPUTS, INPUTS), tl.float32)
    for first in tl.range(begin, tl.minimum(begin + walk * INPUTS, size), INPUTS, num_stages=STAGES):
        inside = first + lane < size
        w = tl.load(weight + first, inside[None, :] & (column < outputs)[:, None], other=0.0).to(tl.float32)
        acc += w * tl.load(x + first + lane, inside, other=0.0).to(tl.float32)[None, :]
        if ROWS == 2:
            acc_2 += w * tl.load(x + x_step + first + lane, inside, other=0.0).to(tl.float32)[None, :]
    there = column < outputs
    _store(out, tl.sum(acc, 1), scales, bias, 0, column, there, rows, outputs, SCALED, BIASED, SPLITS)
    if ROWS == 2:
        _store(out, tl.sum(acc_2, 1), scales, bias, 1, column, there, rows, outputs, SCALED, BIASED, SPLITS)


@jit
def _store(
    out, acc, scales, bias, row, column, inside, rows, outputs,
    SCALED: tl.constexpr, BIASED: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """The result, or a split's part of it."""
    if SPLITS == 1:
        acc = _finished(acc, scales, bias, column, outputs, SCALED, BIASED)
    spot = (tl.program_id(2) * rows + row).to(tl.int64) * outputs + column
    tl.store(out + spot, acc.to(out.dtype.element_ty), inside)


@jit
def _sum(
    parts, scales, bias, y, rows, outputs,
    SCALED: tl.constexpr, BIASED: tl.constexpr, SPLITS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    acc = tl.zeros((WIDTH,), tl.float32)
    for split in range(SPLITS):
        acc += tl.load(parts + (split * rows + row) * outputs + column, column < outputs, other=0.0)
    acc = _finished(acc, scales, bias, column, outputs, SCALED, BIASED)
    tl.store(y + row * outputs + column, acc.to(y.dtype.element_ty), column < outputs)


@jit
def _finished(acc, scales, bias, column, outputs, SCALED: tl.constexpr, BIASED: tl.constexpr):
    if SCALED:
        acc *= tl.load(scales + column, column < outputs, other=0.0)
    if BIASED:
        acc += tl.load(bias + column, column < outputs, other=0.0).to(tl.float32)
    return acc


_SIZES = dict.fromkeys(("rows", "outputs", "size", "walk", "x_step", "weight_step"), "i32")


def _build(rows: int, kind: str, splits: int = 1, group: int | None = None, x: str = "bf16") -> Build:
    x_bytes, weight_bytes = ({"bf16": 2, "fp32": 4, "i8": 1, "fp8e4nv": 1}[name] for name in (x, kind))
    dot, rows_each, outputs, inputs, num_warps, num_stages = tile(rows, x_bytes, weight_bytes, group)
    constants: dict[str, Any] = {"SCALED": weight_bytes == 1 and group is None, "BIASED": False, "SPLITS": splits}
    constants |= {"ROWS": rows_each, "OUTPUTS": outputs, "INPUTS": inputs, "STAGES": num_stages}
    types = dict.fromkeys(("x", "bias", "out"), f"*{x}") | {"weight": f"*{kind}", "scales": "*fp32"} | _SIZES
    if splits > 1:
        types["out"] = "*fp32"
    since = 89 if kind == "fp8e4nv" else 80
    if dot:
        constants |= {"GROUP": group, "WIDEN": False}
        return Build(_multiply, types, constants, num_warps, num_stages, since=since)
    return Build(_multiply_plain, types, constants, since=since)


BUILDS = (
    *(_build(rows, kind) for kind in ("bf16", "i8", "fp8e4nv") for rows in (1, 2, 16, 32, 64)),
    *(_build(rows, "i8", group=128) for rows in (16, 64)),
    _build(16, "bf16", splits=2),
    *(_build(rows, kind, x="fp32") for kind in ("fp32", "i8") for rows in (2, 16)),
    Build(
        _sum,
        {"parts": "*fp32", "scales": "*fp32", "bias": "*bf16", "y": "*bf16", "rows": "i32", "outputs": "i32"},
        {"SCALED": True, "BIASED": False, "SPLITS": 2, "WIDTH": SUMMED},
    ),
)
