"""GroupNorm (arXiv 1803.08494) and SiLU of a feature map, with a per-channel shift added before: one or two launches.

    h = x + shift                                    rounded to the type; shift is what a ResNet block adds for the time
    n = (h - mean) / sqrt(var + eps) * weight + bias     mean and var over a group's channels and positions; rounded
    y = n / (1 + exp(-n))                            where SiLU is wanted

``x`` [B, C, h, w], channels-last or contiguous; ``y`` lies in memory as ``x`` does. As
``engine/models/corrector/blocks.py``, ``corrector/unet.py`` and ``tokenizer/vqgan.py`` have it, in float32 between the
roundings named. Kernels take float32, bfloat16 and float16; float64 always goes through the reference.

Channels-last, a group is a short run of channels at every position, here 2 groups of 3 channels at 4 positions:

    position 0   a a a b b b        tile of one group [4 positions, 1 group, 4 >= 3 channels], the fourth masked
    position 1   a a a b b b        tile of two       [4 positions, 2 groups, 4 channels]: whole rows are read
    position 2   a a a b b b
    position 3   a a a b b b        contiguous maps differ in their strides alone

Where a group fits into the registers of a program (``plan``), it is read once and written once: 2 B C h w numbers move.
A larger one takes two launches and 3 B C h w numbers: the first gives mean and sum of squared deviations of each split
of the positions, the second combines these and normalises.

The variance is a mean of squared deviations from a mean, never mean(h^2) - mean(h)^2, which cancels where the mean is
large beside the deviation. In registers that is two passes. A split keeps a running mean and sum of squared deviations
of every place of its tile (Welford 1962); places, and then splits, are combined by the formula of Chan, Golub and
LeVeque (1979): with counts n_i, means m_i and sums s_i,

    mean = sum n_i m_i / n            var = sum (s_i + n_i (m_i - mean)^2) / n

A NaN or an infinity makes its whole group, of its own picture, NaN, as in the reference.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .jit import FLOATS, Build, jit, next_power_of_2, on_triton, tl

WHOLE = 32768  # numbers that a program of 16 warps holds, 64 a thread
TILE = 8192  # numbers of a tile where a group takes several
RUN = 64  # channels that are worth reading together
MAX_SPLITS = 256


def group_norm_silu_reference(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    shift: Tensor | None = None,
    silu: bool = True,
) -> Tensor:
    """``x`` [B, C, h, w], ``weight`` and ``bias`` [C], ``shift`` [B or 1, C] -> [B, C, h, w]; float64 stays float64."""
    if shift is not None:
        x = x + shift[:, :, None, None]
    x = F.group_norm(x, groups, weight, bias, eps)
    return F.silu(x) if silu else x


@torch.library.custom_op("acdc::group_norm_silu", mutates_args=())
def group_norm_silu(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    shift: Tensor | None = None,
    silu: bool = True,
) -> Tensor:
    """As :func:`group_norm_silu_reference`, in the memory format of ``x``: by our kernel on CUDA, else by that."""
    _check(x, groups, weight, bias, shift)
    if on_triton(x) and x.dtype in FLOATS:
        return _launch(x, groups, weight, bias, eps, shift, silu)
    y = group_norm_silu_reference(x, groups, weight, bias, eps, shift, silu)
    return y.contiguous(memory_format=_format(x))


@group_norm_silu.register_fake
def _(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    shift: Tensor | None = None,
    silu: bool = True,
) -> Tensor:
    _check(x, groups, weight, bias, shift)
    return torch.empty_like(x, memory_format=_format(x))


def _check(x: Tensor, groups: int, weight: Tensor, bias: Tensor, shift: Tensor | None) -> None:
    if x.ndim != 4:
        raise ValueError(f"a map has four dimensions [B, C, h, w], not {list(x.shape)}")
    channels = x.shape[1]
    if groups < 1 or channels % groups:
        raise ValueError(f"groups {groups} is not a divisor of {channels} channels")
    for name, value in (("weight", weight), ("bias", bias)):
        if value.shape != (channels,):
            raise ValueError(f"{name} {list(value.shape)} must be [{channels}], one number a channel")
    if shift is not None and (shift.dtype != x.dtype or shift.shape not in ((1, channels), (len(x), channels))):
        raise ValueError(
            f"shift {list(shift.shape)} {shift.dtype} must be [{len(x)}, {channels}] or [1, {channels}] {x.dtype}"
        )


def _format(x: Tensor) -> torch.memory_format:
    """How ``x`` lies in memory, and so its result; a part of a channels-last map is channels-last too."""
    last = not x.is_contiguous() and x.shape[1] > 1 and x.stride(1) == 1
    return torch.channels_last if last else torch.contiguous_format


class Plan(NamedTuple):
    """Tiles of [rows, groups, channels of a group] and how many programs share the positions of a map."""

    whole: bool  # a tile is one group, and one launch does all
    rows: int  # positions of a tile, a power of two
    groups: int  # of a tile, a power of two
    splits: int
    chunk: int  # positions of a split; the last one may have fewer
    warps: int


def plan(groups: int, channels: int, positions: int, channels_last: bool) -> Plan:
    """``channels`` in each group. One pass where a group fits into a tile, else two launches.

    Every program of the second launch reads the sums of all splits, so their number grows with the root of the group.
    """
    width = next_power_of_2(channels)
    rows = next_power_of_2(positions)
    if rows * width <= WHOLE:
        return Plan(True, rows, 1, 1, positions, min(16, max(1, rows * width // 512)))
    together = min(next_power_of_2(-(-RUN // channels)), next_power_of_2(groups)) if channels_last else 1
    rows = max(1, TILE // (together * width))
    most = min(MAX_SPLITS, next_power_of_2(math.isqrt(channels * positions) // 4))
    chunk = -(-positions // (rows * most)) * rows
    return Plan(False, rows, together, -(-positions // chunk), chunk, 8)


def _launch(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, shift: Tensor | None, silu: bool
) -> Tensor:
    layout = _format(x)
    x = x.contiguous(memory_format=layout)
    y = torch.empty_like(x, memory_format=layout)
    if not x.numel():
        return y
    batch, channels, positions = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
    assert channels * positions < 2**31, "offsets within a map are 32 bits wide"
    last = layout == torch.channels_last
    steps = (1, channels) if last else (positions, 1)  # from channel to channel, from position to position
    each = channels // groups
    tile = plan(groups, each, positions, last)
    shift_row = 0
    if shift is not None:
        shift = shift if shift.stride(1) == 1 else shift.contiguous()
        shift_row = 0 if len(shift) == 1 else shift.stride(0)
    source = (x, shift, shift_row)
    target = (y, weight.contiguous(), bias.contiguous(), eps)
    sizes = (positions, groups, *steps)
    block = (each, next_power_of_2(each), tile.groups, tile.rows)
    if tile.whole:
        _whole[(batch * groups,)](*source, *target, *sizes, shift is not None, silu, *block, num_warps=tile.warps)
        return y
    sums = torch.empty(2, batch, groups, tile.splits, dtype=torch.float32, device=x.device)
    means, squares = sums[0], sums[1]
    grid = (tile.splits, -(-groups // tile.groups), batch)
    work = (*sizes, tile.chunk, tile.splits)
    _statistics[grid](*source, means, squares, *work, shift is not None, *block, num_warps=tile.warps)
    flags = (shift is not None, silu)
    parts = next_power_of_2(tile.splits)
    _normalise[grid](*source, *target, means, squares, *work, *flags, *block, parts, num_warps=tile.warps)
    return y


@jit
def _channels(first, groups, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, GROUPS: tl.constexpr):
    """Numbers of the channels of the groups from ``first`` on, [1, GROUPS, WIDTH], and which of them there are."""
    within = tl.arange(0, WIDTH)[None, None, :]
    group = first + tl.arange(0, GROUPS)[None, :, None]
    return group * CHANNELS + within, (within < CHANNELS) & (group < groups)


@jit
def _shifted(x, offsets, inside, added, SHIFTED: tl.constexpr):
    """A tile of ``x`` in float32, plus the channels' shift, rounded as the sum would be; 0 outside."""
    value = tl.load(x + offsets, inside, other=0.0).to(tl.float32)
    if SHIFTED:
        value = tl.where(inside, (value + added).to(x.dtype.element_ty).to(tl.float32), 0.0)
    return value


@jit
def _scaled(value, scale, bias, dtype: tl.constexpr, SILU: tl.constexpr):
    """A centred tile times ``scale`` plus ``bias``, and SiLU of it; rounded after each."""
    value = (value * scale + bias).to(dtype)
    if SILU:
        wide = value.to(tl.float32)
        value = (wide / (1.0 + tl.exp(-wide))).to(dtype)
    return value


@jit
def _sum(value):
    """[rows, groups, channels] -> [1, groups, 1]."""
    return tl.sum(tl.sum(value, 2, keep_dims=True), 0, keep_dims=True)


@jit
def _whole(
    x,
    shift,
    shift_row,
    y,
    weight,
    bias,
    eps,
    positions,
    groups,
    channel_step,
    position_step,
    SHIFTED: tl.constexpr,
    SILU: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTH: tl.constexpr,
    GROUPS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """One group of one picture."""
    picture = (tl.program_id(0) // groups).to(tl.int64)
    channel, exists = _channels(tl.program_id(0) % groups, groups, CHANNELS, WIDTH, GROUPS)
    start = picture * groups * CHANNELS * positions
    position = tl.arange(0, ROWS)[:, None, None]
    inside = exists & (position < positions)
    offsets = channel * channel_step + position * position_step
    added = tl.load(shift + picture * shift_row + channel, exists, other=0.0).to(tl.float32) if SHIFTED else 0.0
    value = _shifted(x + start, offsets, inside, added, SHIFTED)
    count = positions * CHANNELS
    value = tl.where(inside, value - _sum(value) / count, 0.0)
    scale = tl.rsqrt(_sum(value * value) / count + eps)
    scale *= tl.load(weight + channel, exists, other=0.0).to(tl.float32)
    moved = tl.load(bias + channel, exists, other=0.0).to(tl.float32)
    tl.store(y + start + offsets, _scaled(value, scale, moved, y.dtype.element_ty, SILU), inside)


@jit
def _statistics(
    x,
    shift,
    shift_row,
    means,
    squares,
    positions,
    groups,
    channel_step,
    position_step,
    chunk,
    splits,
    SHIFTED: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTH: tl.constexpr,
    GROUPS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Mean and sum of squared deviations of some groups of one picture over one split of its positions."""
    split, first, picture = tl.program_id(0), tl.program_id(1) * GROUPS, tl.program_id(2).to(tl.int64)
    channel, exists = _channels(first, groups, CHANNELS, WIDTH, GROUPS)
    x += picture * groups * CHANNELS * positions
    added = tl.load(shift + picture * shift_row + channel, exists, other=0.0).to(tl.float32) if SHIFTED else 0.0
    start = split * chunk
    stop = tl.minimum(start + chunk, positions)
    row = tl.arange(0, ROWS)[:, None, None]
    mean = tl.zeros((ROWS, GROUPS, WIDTH), tl.float32)
    square = tl.zeros((ROWS, GROUPS, WIDTH), tl.float32)
    step = 0.0
    for tile in range(start, stop, ROWS):
        inside = exists & (tile + row < stop)
        value = _shifted(x, channel * channel_step + (tile + row) * position_step, inside, added, SHIFTED)
        step += 1.0
        off = tl.where(inside, value - mean, 0.0)
        mean += off / step
        square += off * tl.where(inside, value - mean, 0.0)
    # A place has seen one number a tile, but for those that fell outside the last one.
    seen = tl.where(exists, (stop - start - row + ROWS - 1) // ROWS, 0).to(tl.float32)
    overall = _sum(seen * mean) / ((stop - start) * CHANNELS)
    off = mean - overall
    total = _sum(square + seen * off * off)
    group = first + tl.arange(0, GROUPS)[None, :, None]
    place = (picture * groups + group) * splits + split
    tl.store(means + place, overall, group < groups)
    tl.store(squares + place, total, group < groups)


@jit
def _normalise(
    x,
    shift,
    shift_row,
    y,
    weight,
    bias,
    eps,
    means,
    squares,
    positions,
    groups,
    channel_step,
    position_step,
    chunk,
    splits,
    SHIFTED: tl.constexpr,
    SILU: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTH: tl.constexpr,
    GROUPS: tl.constexpr,
    ROWS: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """The same tiles, normalised by the sums of all splits."""
    split, first, picture = tl.program_id(0), tl.program_id(1) * GROUPS, tl.program_id(2).to(tl.int64)
    group = first + tl.arange(0, GROUPS)[None, :, None]
    each = tl.arange(0, SPLITS)[:, None, None]
    there = (group < groups) & (each < splits)
    place = (picture * groups + group) * splits + each
    part = tl.load(means + place, there, other=0.0)
    seen = tl.where(each < splits, tl.minimum(positions - each * chunk, chunk) * CHANNELS, 0).to(tl.float32)
    count = positions * CHANNELS
    mean = _sum(seen * part) / count
    off = part - mean
    scale = tl.rsqrt(_sum(tl.load(squares + place, there, other=0.0) + seen * off * off) / count + eps)

    channel, exists = _channels(first, groups, CHANNELS, WIDTH, GROUPS)
    x += picture * groups * CHANNELS * positions
    y += picture * groups * CHANNELS * positions
    added = tl.load(shift + picture * shift_row + channel, exists, other=0.0).to(tl.float32) if SHIFTED else 0.0
    scale *= tl.load(weight + channel, exists, other=0.0).to(tl.float32)
    moved = tl.load(bias + channel, exists, other=0.0).to(tl.float32)
    start = split * chunk
    stop = tl.minimum(start + chunk, positions)
    row = tl.arange(0, ROWS)[:, None, None]
    for tile in range(start, stop, ROWS):
        inside = exists & (tile + row < stop)
        offsets = channel * channel_step + (tile + row) * position_step
        value = _shifted(x, offsets, inside, added, SHIFTED) - mean
        tl.store(y + offsets, _scaled(value, scale, moved, y.dtype.element_ty, SILU), inside)


_SOURCE = {"x": "*bf16", "shift": "*bf16", "shift_row": "i32"}
_TARGET = {**dict.fromkeys(("y", "weight", "bias"), "*bf16"), "eps": "fp32"}
_SIZES = dict.fromkeys(("positions", "groups"), "i32")
_WORK = dict.fromkeys(("chunk", "splits"), "i32")
_SUMS = dict.fromkeys(("means", "squares"), "*fp32")


def _builds(channels: int, positions: int, last: bool = True) -> tuple[Build, ...]:
    """What a map of 32 groups takes, with shift and SiLU."""
    tile = plan(32, channels // 32, positions, last)
    signature = {**_SOURCE, **_SIZES, "position_step" if last else "channel_step": "i32"}
    block = {"CHANNELS": channels // 32, "WIDTH": next_power_of_2(channels // 32)}
    constants = {"SHIFTED": True, **block, "GROUPS": tile.groups, "ROWS": tile.rows}
    constants["channel_step" if last else "position_step"] = 1
    if tile.whole:
        return (Build(_whole, {**signature, **_TARGET}, {**constants, "SILU": True}, tile.warps),)
    signature |= {**_SUMS, **_WORK}
    second = {**constants, "SILU": True, "SPLITS": next_power_of_2(tile.splits)}
    return (
        Build(_statistics, signature, constants, tile.warps),
        Build(_normalise, {**signature, **_TARGET}, second, tile.warps),
    )


BUILDS = (
    *_builds(320, 32 * 32),  # SD 1.5 at 256 px
    *_builds(960, 32 * 32),
    *_builds(2560, 8 * 8),
    *_builds(320, 64 * 64),  # at 512 px
    *_builds(960, 64 * 64),
    *_builds(128, 256 * 256),  # LWM's VQGAN and SD's VAE at 256 px
    *_builds(128, 256 * 256, last=False),
)
