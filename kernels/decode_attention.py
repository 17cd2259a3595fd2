"""Attention of a few new tokens over a key/value cache, the slots shared out among programs (flash decoding, split-KV).

    y[r, h, w] = sum_s p[s] v[r, h, s],   p = softmax over s <= lengths[r] + w of  q[r, h, w] . k[r, h, s] / sqrt(D)

W tokens a row are new (1, or a window of parallel decoding), causal among themselves, and see all that their row owns,
as in ``engine/models/kv_cache.py``; a story's two guidance branches are two rows of one launch. The new tokens' keys
and values are in the cache already, or are given separately (``engine/models/read_cache.py``). With W = 2 new tokens,
blocks of 2 slots and 2 splits, row 0 owning 3 slots and row 1 owning 1 (o: owned, a and b: new, .: free, never read):

    slots      0 1 | 2 3 | 4 5 | 6 7
    row 0      o o | o a | b . | . .      split 0 walks through blocks 0 and 2, split 1 through block 1
    row 1      o a | b . | . . | . .      split 0 walks through block 0, split 1 through block 1

Blocks go to the splits in turn, so that all have work as soon as a row has as many blocks. A slot's place in the sums
depends neither on the row's length nor on W: within one size of tile (W up to 16, up to 32, beyond) a token's sums are
the same, in the same order, in whichever window it is computed. The number of splits depends on static sizes only, and
lengths are read on the device: one captured graph serves all lengths. A second launch sums the splits' parts.

Bytes: 2 H D (lengths[r] + W) numbers of keys and values a row, besides q, y and the parts (4 H W (D + 2) bytes a split,
written and read). Scores, softmax and sums are float32; weights are rounded to the values' type before they multiply
them. W is padded to a multiple of 16 for ``tl.dot``: decode waits for memory, and idle tensor cores are free.

Free slots may hold NaN. A NaN in a slot that is seen makes NaN of the queries that see it, an infinity whatever the
formula makes of it; such a *value* of a new token also reaches the queries before it in its row's window, since 0 * NaN
is NaN. float64 is computed by the reference.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .jit import Build, interpreted, jit, next_power_of_2, on_triton, tl

MAX_SIZE = 128  # of a head
MAX_SPLITS = 64
PROGRAMS = 264  # two on each of an H200's 132 multiprocessors keep its memory busy


def decode_attention_reference(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    lengths: Tensor,
    new_keys: Tensor | None = None,
    new_values: Tensor | None = None,
) -> Tensor:
    """``q`` [R, H, W, D], ``keys`` and ``values`` [R, H, S, D], ``lengths`` int64 [R] -> [R, H, W, D].

    New keys and values [R, H, W, D] lie at slots ``lengths[r]`` .. ``lengths[r] + W - 1``, or are given apart, and
    then the cache holds the owned ones only. Padding queries whose slot is none of the S are finite. float64 stays
    float64 throughout. Reads all slots, and copies the values to clear what is free.
    """
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    positions = lengths[:, None] + torch.arange(q.shape[2], device=q.device)  # [R, W]
    slots = torch.arange(keys.shape[2], device=q.device).expand(len(keys), -1)  # [R, S]
    if new_keys is not None and new_values is not None:
        free = slots >= lengths[:, None]
        slots = torch.cat((slots.masked_fill(free, torch.iinfo(slots.dtype).max), positions), 1)
        keys, values = torch.cat((keys, new_keys), 2), torch.cat((values, new_values), 2)
    unseen = slots[:, None] > positions[:, :, None]  # [R, W, S]
    scores = (q.to(wide) * q.shape[3] ** -0.5) @ keys.to(wide).transpose(-1, -2)
    weights = scores.masked_fill(unseen[:, None], -torch.inf).softmax(-1)
    values = values.to(wide).masked_fill(unseen[:, -1, None, :, None], 0)
    return (weights @ values).to(q.dtype)


@torch.library.custom_op("acdc::decode_attention", mutates_args=())
def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    lengths: Tensor,
    new_keys: Tensor | None = None,
    new_values: Tensor | None = None,
) -> Tensor:
    """As :func:`decode_attention_reference`: by our kernel on CUDA, by the reference elsewhere and in float64.

    Heads of a token lie side by side in the result, so that ``y.transpose(1, 2).flatten(2)`` copies nothing.
    ``ValueError`` for heads of more than 128 numbers.
    """
    if q.shape[3] > MAX_SIZE:
        raise ValueError(f"heads of {q.shape[3]} numbers; decode attention takes at most {MAX_SIZE}")
    assert (new_keys is None) == (new_values is None), "new keys and new values come together"
    if on_triton(q) and q.dtype != torch.float64:
        return _launch(q, keys, values, lengths, new_keys, new_values)
    y = decode_attention_reference(q, keys, values, lengths, new_keys, new_values)
    return y.transpose(1, 2).contiguous().transpose(1, 2)


@decode_attention.register_fake
def _(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    lengths: Tensor,
    new_keys: Tensor | None = None,
    new_values: Tensor | None = None,
) -> Tensor:
    rows, heads, new, size = q.shape
    return q.new_empty(rows, new, heads, size).transpose(1, 2)


class Tile(NamedTuple):
    """Tile of a program, and its build parameters."""

    queries: int
    slots: int
    num_warps: int
    num_stages: int


def tile(new: int, bytes_each: int) -> Tile:
    """For ``new`` tokens a row, of numbers of this size in bytes. float32 has no tensor cores here, and needs
    registers."""
    if bytes_each == 4:
        return Tile(16, 32, 8, 2)
    queries = min(64, max(16, next_power_of_2(new)))
    return Tile(queries, 64, 8, 2) if queries == 64 else Tile(queries, 64, 4, 3)


def split_count(pairs: int, blocks: int) -> int:
    """Among how many programs the blocks of a (row, head) are shared out: enough to fill the GPU, by sizes alone."""
    return max(1, min(PROGRAMS // max(1, pairs), blocks, MAX_SPLITS))


def _launch(
    q: Tensor, keys: Tensor, values: Tensor, lengths: Tensor, new_keys: Tensor | None, new_values: Tensor | None
) -> Tensor:
    rows, heads, new, size = q.shape
    capacity, pairs = keys.shape[2], rows * heads
    assert q.dtype == keys.dtype == values.dtype, f"{q.dtype}, {keys.dtype} and {values.dtype}"
    assert keys.shape == values.shape == (rows, heads, capacity, size), f"{keys.shape} for queries {q.shape}"
    assert keys.stride() == values.stride(), "two buffers of one cache"
    assert keys.stride(3) == 1, "a head's numbers lie side by side"
    apart = new_keys is not None and new_values is not None
    q, new_keys, new_values = (_dense(q if value is None else value) for value in (q, new_keys, new_values))
    y = torch.empty(rows, new, heads, size, dtype=q.dtype, device=q.device)
    if not y.numel():
        return y.transpose(1, 2)
    queries, slots, num_warps, num_stages = tile(new, q.element_size())
    splits = split_count(pairs, -(-capacity // slots))
    if splits == 1:
        parts = tops = totals = y
    else:
        parts = torch.empty(pairs, splits, new, size, dtype=torch.float32, device=q.device)
        tops, totals = torch.empty(2, pairs, splits, new, dtype=torch.float32, device=q.device)
    sizes, widths = (heads, new, capacity, size), (splits, slots, max(16, next_power_of_2(size)))
    strides = [step for value in (q, keys, new_keys, new_values) for step in value.stride()[:3]]
    _attend[(pairs, splits, -(-new // queries))](
        q, keys, values, new_keys, new_values, lengths, parts, tops, totals, *sizes, size**-0.5, *strides,
        apart, *widths, queries, interpreted(), num_warps=num_warps, num_stages=num_stages,
    )  # fmt: skip
    if splits > 1:
        _combine[(pairs, new)](parts, tops, totals, lengths, y, *sizes, apart, *widths, next_power_of_2(splits))
    return y.transpose(1, 2)


def _dense(value: Tensor) -> Tensor:
    """A head's numbers side by side; its other strides are free."""
    return value if value.stride(3) == 1 else value.contiguous()


@jit
def _attend(
    q, keys, values, new_keys, new_values, lengths, parts, tops, totals,
    heads, new, capacity, size, scale,
    q_row, q_head, q_token, row_step, head_step, slot_step,
    key_row, key_head, key_token, value_row, value_head, value_token,
    APART: tl.constexpr, SPLITS: tl.constexpr, SLOTS: tl.constexpr, WIDTH: tl.constexpr, QUERIES: tl.constexpr,
    WIDEN: tl.constexpr,
):  # fmt: skip
    pair, split = tl.program_id(0), tl.program_id(1)
    row, head = (pair // heads).to(tl.int64), pair % heads
    length = tl.load(lengths + row).to(tl.int32)
    end = _end(length, new, capacity, APART)
    if split * SLOTS >= end:
        return
    order = tl.program_id(2) * QUERIES + tl.arange(0, QUERIES)
    lane, channel = tl.arange(0, SLOTS), tl.arange(0, WIDTH)
    there, real = (channel < size)[None, :], (order < new)[:, None]
    ask = tl.load(q + row * q_row + head * q_head + order[:, None] * q_token + channel, there & real, other=0.0)
    scale *= 1.4426950408889634  # powers of two are cheaper than powers of e
    cached = row * row_step + head * head_step
    new_keys += row * key_row + head * key_head
    new_values += row * value_row + head * value_head
    top = tl.full((QUERIES,), -float("inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    acc = tl.zeros((QUERIES, WIDTH), tl.float32)
    for first in range(split * SLOTS, end, SPLITS * SLOTS):
        slots = first + lane
        place = slots[:, None] * slot_step + channel[None, :]
        k_at, v_at = keys + cached + place, values + cached + place
        if APART:
            token = slots[:, None] - length
            k_at = tl.where(token < 0, k_at, new_keys + token * key_token + channel[None, :])
            v_at = tl.where(token < 0, v_at, new_values + token * value_token + channel[None, :])
        inside = (slots < end)[:, None] & there
        k = tl.load(k_at, inside, other=0.0)
        v = tl.load(v_at, inside, other=0.0)
        seen = (slots < end)[None, :] & (slots[None, :] <= length + order[:, None])
        scores = tl.where(seen, _dot(ask, tl.trans(k), WIDEN) * scale, -float("inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        base = tl.where(higher == -float("inf"), 0.0, higher)  # a query that has seen nothing yet keeps 0 and 0
        weight, keep = tl.exp2(scores - base[:, None]), tl.exp2(top - base)
        acc = acc * keep[:, None] + _dot(weight.to(v.dtype), v, WIDEN)
        total = total * keep + tl.sum(weight, 1)
        top = higher

    if SPLITS == 1:
        spot = (row * new + order[:, None]) * heads * size + head * size + channel[None, :]
        tl.store(parts + spot, (acc / total[:, None]).to(parts.dtype.element_ty), there & real)
    else:
        spot = (pair.to(tl.int64) * SPLITS + split) * new + order
        tl.store(parts + spot[:, None] * size + channel[None, :], acc, there & real)
        tl.store(tops + spot, top, order < new)
        tl.store(totals + spot, total, order < new)


@jit
def _combine(
    parts, tops, totals, lengths, y, heads, new, capacity, size,
    APART: tl.constexpr, SPLITS: tl.constexpr, SLOTS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    pair, order = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row, head = pair // heads, pair % heads
    split, channel = tl.arange(0, PADDED), tl.arange(0, WIDTH)
    end = _end(tl.load(lengths + row).to(tl.int32), new, capacity, APART)
    took_part = (split < SPLITS) & (split * SLOTS < end)  # the others wrote nothing
    spot = (pair * SPLITS + split) * new + order
    top = tl.load(tops + spot, took_part, other=-float("inf"))
    weight = tl.exp2(top - tl.max(top, 0))
    total = tl.sum(weight * tl.load(totals + spot, took_part, other=0.0), 0)
    there = channel < size
    part = tl.load(parts + spot[:, None] * size + channel[None, :], took_part[:, None] & there[None, :], other=0.0)
    value = tl.sum(weight[:, None] * part, 0) / total
    tl.store(y + ((row * new + order) * heads + head) * size + channel, value.to(y.dtype.element_ty), there)


@jit
def _end(length, new, capacity, APART: tl.constexpr):
    """One past the last slot that the row's last query sees."""
    return length + new if APART else tl.minimum(length + new, capacity)


@jit
def _dot(a, b, WIDEN: tl.constexpr):
    if WIDEN:  # the interpreter cannot multiply bfloat16
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


_POINTERS = ("q", "keys", "values", "new_keys", "new_values")
_SIZES = dict.fromkeys(("heads", "new", "capacity", "size"), "i32")
_STRIDES = ["q_row", "q_head", "q_token", "row_step", "head_step", "slot_step"]
_STRIDES += ["key_row", "key_head", "key_token", "value_row", "value_head", "value_token"]
_PARTS = dict.fromkeys(("parts", "tops", "totals"), "*fp32") | {"lengths": "*i64"} | _SIZES


def _build(new: int, splits: int, apart: bool = False, size: int = 128, kind: str = "bf16") -> Build:
    types = dict.fromkeys(_POINTERS, f"*{kind}") | _PARTS | {"scale": "fp32"} | dict.fromkeys(_STRIDES, "i32")
    if splits == 1:
        types |= dict.fromkeys(("parts", "tops", "totals"), f"*{kind}")
    queries, slots, num_warps, num_stages = tile(new, 4 if kind == "fp32" else 2)
    constants = {"APART": apart, "SPLITS": splits, "SLOTS": slots, "WIDTH": size, "QUERIES": queries, "WIDEN": False}
    return Build(_attend, types, constants, num_warps, num_stages)


BUILDS = (
    _build(1, splits=4),  # LWM-7B: one token, two branches
    _build(32, splits=4),
    _build(128, splits=4),
    _build(1, splits=4, apart=True),
    _build(128, splits=4, apart=True),
    _build(1, splits=1),  # sixteen rows
    _build(1, splits=4, kind="fp32"),
    _build(1, splits=4, size=64),  # heads as wide as Show-o's
    Build(
        _combine,
        _PARTS | {"y": "*bf16"},
        {"APART": False, "SPLITS": 4, "SLOTS": 64, "WIDTH": 128, "PADDED": 4},
    ),
)
