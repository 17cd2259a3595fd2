"""GroupNorm (arXiv 1803.08494) and SiLU of a feature map, with a per-channel shift added before: one or two launches.

    h = x + shift                                    rounded to the type; shift is what a ResNet block adds for the time
    n = (h - mean) / sqrt(var + eps) * weight + bias     mean and var over a group's channels and positions; rounded
    y = n / (1 + exp(-n))                            where SiLU is wanted

``x`` [B, C, h, w], channels-last or contiguous; ``y`` lies in memory as ``x`` does. float32 between the roundings
named. Kernels take float32, bfloat16 and float16; float64 always goes through the reference.

Channels-last, a group is a short run of channels at every position, here 2 groups of 3 channels at 4 positions:

    position 0   a a a b b b        tile of one group [4 positions, 1 group, 4 >= 3 channels], the fourth masked
    position 1   a a a b b b        tile of two       [4 positions, 2 groups, 4 channels]: whole rows are read
    position 2   a a a b b b
    position 3   a a a b b b        contiguous maps differ in their strides alone

Where a group fits into the registers of a program (``plan``), it is read once and written once: 2 B C h w numbers move.
A larger one takes two launches and 3 B C h w numbers: the first gives mean and sum of squared deviations of each split
of the positions, the second combines these and normalises.

The variance is a mean of squared deviations from a mean, never mean(h^2) - mean(h)^2, which cancels where the mean is
large compared with the deviation. In registers that is two passes. A split keeps a running mean and sum of squared
deviations of every place of its tile (Welford 1962). Places, and then splits, of counts n_i, means m_i and sums s_i are
combined (Chan, Golub and LeVeque 1979) to mean = sum n_i m_i / n and var = sum (s_i + n_i (m_i - mean)^2) / n.

A NaN or an infinity makes its whole group, of its own picture, NaN, as in the reference.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .jit import FLOATS, Build, jit, next_power_of_2, on_triton, tl

WHOLE = 16384  # numbers that a program of 16 warps holds, 32 a thread
TILE = 4096  # numbers of a tile where a group takes several
RUN = 64  # channels that are worth reading together
MAX_SPLITS = 256


def group_norm_silu_reference(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, shift: Tensor | None = None, silu: bool = True
) -> Tensor:
    """``x`` [B, C, h, w], ``weight`` and ``bias`` [C], ``shift`` [B or 1, C] -> [B, C, h, w]; float64 stays float64."""
    if shift is not None:
        x = x + shift[:, :, None, None]
    x = F.group_norm(x, groups, weight, bias, eps)
    return F.silu(x) if silu else x


@torch.library.custom_op("acdc::group_norm_silu", mutates_args=())
def group_norm_silu(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, shift: Tensor | None = None, silu: bool = True
) -> Tensor:
    """As :func:`group_norm_silu_reference`, in the memory format of ``x``: by our kernel on CUDA, else by that."""
    _check(x, groups, weight, bias, shift)
    if on_triton(x) and x.dtype in FLOATS:
        return _launch(x, groups, weight, bias, eps, shift, silu)
    y = group_norm_silu_reference(x, groups, weight, bias, eps, shift, silu)
    return y.contiguous(memory_format=_format(x))


@group_norm_silu.register_fake
def _(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, shift: Tensor | None = None, silu: bool = True
) -> Tensor:
    _check(x, groups, weight, bias, shift)
    return torch.empty_like(x, memory_format=_format(x))


def _check(x: Tensor, groups: int, weight: Tensor, bias: Tensor, shift: Tensor | None) -> None:
    if x.ndim != 4:
        raise ValueError(f"a map has four dimensions [B, C, h, w], not {list(x.shape)}")
    channels = x.shape[1]
    if groups < 1 or channels % groups:
        raise ValueError(f"groups {groups} is not a divisor of {channels} channels")
    if not weight.shape == bias.shape == (channels,):
        raise ValueError(f"weight {list(weight.shape)} and bias {list(bias.shape)} must be [{channels}]")
    if shift is not None and (shift.dtype != x.dtype or shift.shape not in ((1, channels), (len(x), channels))):
        raise ValueError(f"shift {list(shift.shape)} {shift.dtype} must be [{len(x)} or 1, {channels}] {x.dtype}")


def _format(x: Tensor) -> torch.memory_format:
    """Memory layout of ``x``, and so of its result; a part of a channels-last map is channels-last too."""
    last = not x.is_contiguous() and x.shape[1] > 1 and x.stride(1) == 1
    return torch.channels_last if last else torch.contiguous_format


class Plan(NamedTuple):
    """Tiles of [rows, together, channels of a group] and how many programs share the positions of a map."""

    whole: bool  # a tile is one group, and one launch does all
    rows: int  # positions of a tile, a power of two
    together: int  # groups of a tile, a power of two
    splits: int
    chunk: int  # positions of a split; the last one may have fewer
    warps: int


def plan(groups: int, channels: int, positions: int, channels_last: bool) -> Plan:
    """``channels`` in each group. One pass where a group fits into a tile, else two launches.

    Every program of the second launch reads the sums of all splits, so their number grows with the root of the group.
    """
    width, rows = next_power_of_2(channels), next_power_of_2(positions)
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
    x, y = x.contiguous(memory_format=layout), torch.empty_like(x, memory_format=layout)
    if not x.numel():
        return y
    batch, channels, positions = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
    assert channels * positions < 2**31, "offsets within a map are 32 bits wide"
    last = layout == torch.channels_last
    tile = plan(groups, channels // groups, positions, last)
    if shift is not None and shift.stride(1) != 1:
        shift = shift.contiguous()
    source = (x, shift, 0 if shift is None or len(shift) == 1 else shift.stride(0), positions)
    target = (y, weight.contiguous(), bias.contiguous(), eps)
    block = {**_constants(groups, channels // groups, last, tile), "num_warps": tile.warps}
    if tile.whole:
        _whole[(batch * groups,)](*source, *target, SILU=silu, **block)
        return y
    sums = torch.empty(2, batch, groups, tile.splits, dtype=torch.float32, device=x.device)
    work = (sums[0], sums[1], tile.chunk, tile.splits)
    grid = (tile.splits, -(-groups // tile.together), batch)
    _statistics[grid](*source, *work, **block)
    _normalise[grid](*source, *target, *work, SILU=silu, SPLITS=next_power_of_2(tile.splits), **block)
    return y


def _constants(groups: int, channels: int, last: bool, tile: Plan) -> dict[str, int]:
    """Compile-time constants of a kernel; ``channels`` of a group."""
    sizes = {"LAST": last, "GROUPS": groups, "CHANNELS": channels, "WIDTH": next_power_of_2(channels)}
    return {**sizes, "TOGETHER": tile.together, "ROWS": tile.rows}


@jit
def _channels(first, GROUPS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, TOGETHER: tl.constexpr):
    """Numbers of the channels of the groups from ``first`` on, [1, TOGETHER, WIDTH], and which of them there are."""
    within = tl.arange(0, WIDTH)[None, None, :]
    group = first + tl.arange(0, TOGETHER)[None, :, None]
    return group * CHANNELS + within, (within < CHANNELS) & (group < GROUPS)


@jit
def _offsets(channel, position, positions, LAST: tl.constexpr, GROUPS: tl.constexpr, CHANNELS: tl.constexpr):
    """Offset in a map of a channel's number at a position."""
    return position * (GROUPS * CHANNELS) + channel if LAST else channel * positions + position


@jit
def _wide(x, offsets, inside):
    """In float32, 0 outside."""
    return tl.load(x + offsets, inside, other=0.0).to(tl.float32)


@jit
def _shifted(x, offsets, inside, added):
    """A tile of ``x`` plus what is added to its channels, rounded as their sum would be; 0 outside."""
    total = (_wide(x, offsets, inside) + added).to(x.dtype.element_ty)
    return tl.where(inside, total.to(tl.float32), 0.0)


@jit
def _scaled(value, scale, weight, bias, dtype: tl.constexpr, SILU: tl.constexpr):
    """A centred tile by its groups' ``scale``, its channels' weight and bias, and SiLU of it; rounded after each."""
    value = (value * scale * weight + bias).to(dtype)
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
    x, shift, shift_row, positions, y, weight, bias, eps, SILU: tl.constexpr,
    LAST: tl.constexpr, GROUPS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, TOGETHER: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """One group of one picture."""
    picture = (tl.program_id(0) // GROUPS).to(tl.int64)
    channel, exists = _channels(tl.program_id(0) % GROUPS, GROUPS, CHANNELS, WIDTH, TOGETHER)
    start = picture * (GROUPS * CHANNELS) * positions
    position = tl.arange(0, ROWS)[:, None, None]
    inside = exists & (position < positions)
    offsets = _offsets(channel, position, positions, LAST, GROUPS, CHANNELS)
    added = 0.0 if shift is None else _wide(shift + picture * shift_row, channel, exists)
    value = _shifted(x + start, offsets, inside, added)
    count = positions * CHANNELS
    value = tl.where(inside, value - _sum(value) / count, 0.0)
    scale = tl.rsqrt(_sum(value * value) / count + eps)
    by, plus = _wide(weight, channel, exists), _wide(bias, channel, exists)
    tl.store(y + start + offsets, _scaled(value, scale, by, plus, y.dtype.element_ty, SILU), inside)


@jit
def _statistics(
    x, shift, shift_row, positions, means, squares, chunk, splits,
    LAST: tl.constexpr, GROUPS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, TOGETHER: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """Mean and sum of squared deviations of some groups of one picture over one split of its positions."""
    split, first, picture = tl.program_id(0), tl.program_id(1) * TOGETHER, tl.program_id(2).to(tl.int64)
    channel, exists = _channels(first, GROUPS, CHANNELS, WIDTH, TOGETHER)
    x += picture * (GROUPS * CHANNELS) * positions
    added = 0.0 if shift is None else _wide(shift + picture * shift_row, channel, exists)
    start, stop = split * chunk, tl.minimum(split * chunk + chunk, positions)
    row = tl.arange(0, ROWS)[:, None, None]
    mean = tl.zeros((ROWS, TOGETHER, WIDTH), tl.float32)
    square, step = mean, 0.0
    for tile in range(start, stop, ROWS):
        inside = exists & (tile + row < stop)
        value = _shifted(x, _offsets(channel, tile + row, positions, LAST, GROUPS, CHANNELS), inside, added)
        step += 1.0
        off = tl.where(inside, value - mean, 0.0)
        mean += off / step
        square += off * tl.where(inside, value - mean, 0.0)
    # A place has seen one number a tile, but for those that fell outside the last one.
    seen = tl.where(exists, (stop - start - row + ROWS - 1) // ROWS, 0).to(tl.float32)
    overall = _sum(seen * mean) / ((stop - start) * CHANNELS)
    square += seen * (mean - overall) * (mean - overall)
    group = first + tl.arange(0, TOGETHER)[None, :, None]
    place = (picture * GROUPS + group) * splits + split
    tl.store(means + place, overall, group < GROUPS)
    tl.store(squares + place, _sum(square), group < GROUPS)


@jit
def _normalise(
    x, shift, shift_row, positions, y, weight, bias, eps, means, squares, chunk, splits, SILU: tl.constexpr,
    LAST: tl.constexpr, GROUPS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, TOGETHER: tl.constexpr,
    ROWS: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """The same tiles, normalised by the sums of all splits."""
    split, first, picture = tl.program_id(0), tl.program_id(1) * TOGETHER, tl.program_id(2).to(tl.int64)
    group, each = first + tl.arange(0, TOGETHER)[None, :, None], tl.arange(0, SPLITS)[:, None, None]
    there = (group < GROUPS) & (each < splits)
    place = (picture * GROUPS + group) * splits + each
    part = _wide(means, place, there)
    seen = tl.where(each < splits, tl.minimum(positions - each * chunk, chunk) * CHANNELS, 0).to(tl.float32)
    mean = _sum(seen * part) / (positions * CHANNELS)
    square = _sum(_wide(squares, place, there) + seen * (part - mean) * (part - mean))
    scale = tl.rsqrt(square / (positions * CHANNELS) + eps)
    channel, exists = _channels(first, GROUPS, CHANNELS, WIDTH, TOGETHER)
    x += picture * (GROUPS * CHANNELS) * positions
    y += picture * (GROUPS * CHANNELS) * positions
    added = 0.0 if shift is None else _wide(shift + picture * shift_row, channel, exists)
    by, plus = _wide(weight, channel, exists), _wide(bias, channel, exists)
    start, stop = split * chunk, tl.minimum(split * chunk + chunk, positions)
    row = tl.arange(0, ROWS)[:, None, None]
    for tile in range(start, stop, ROWS):
        inside = exists & (tile + row < stop)
        offsets = _offsets(channel, tile + row, positions, LAST, GROUPS, CHANNELS)
        value = _shifted(x, offsets, inside, added) - mean
        tl.store(y + offsets, _scaled(value, scale, by, plus, y.dtype.element_ty, SILU), inside)


_SOURCE = {"x": "*bf16", "shift": "*bf16", "shift_row": "i32", "positions": "i32"}
_TARGET = {**dict.fromkeys(("y", "weight", "bias"), "*bf16"), "eps": "fp32"}
_WORK = {"means": "*fp32", "squares": "*fp32", "chunk": "i32", "splits": "i32"}


def _builds(channels: int, positions: int, last: bool = True) -> tuple[Build, ...]:
    """Launch for a map of 32 groups, with shift and SiLU."""
    tile = plan(32, channels // 32, positions, last)
    sizes = _constants(32, channels // 32, last, tile)
    if tile.whole:
        return (Build(_whole, {**_SOURCE, **_TARGET}, {**sizes, "SILU": True}, tile.warps),)
    first = Build(_statistics, {**_SOURCE, **_WORK}, sizes, tile.warps)
    sizes = sizes | {"SILU": True, "SPLITS": next_power_of_2(tile.splits)}
    return first, Build(_normalise, {**_SOURCE, **_TARGET, **_WORK}, sizes, tile.warps)


# Channels and side of maps of SD 1.5 at 256 px and at 512 px, and of LWM's VQGAN and SD's VAE at 256 px.
_MAPS = ((320, 32), (960, 32), (2560, 8), (320, 64), (960, 64), (128, 256))
BUILDS = tuple(build for channels, side in _MAPS for build in _builds(channels, side * side))
BUILDS += _builds(128, 256 * 256, last=False)
