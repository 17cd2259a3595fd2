"""From logits to tokens, one row a position, in one launch: no sort, no host.

    guidance       l = uncond + s (cond - uncond)                        float32; cond alone at s = 1
    allowed ids    -inf outside [first, end)
    temperature    l / T; T = 0 is greedy: none of the next three
    top-k          ids with l >= the k-th best stay: those tied with it too
    top-p          the fewest best ids whose softmax reaches p stay; the one that crosses p and its ties too
    noise          + Gumbel noise of (story, position): argmax then draws from the softmax
    argmax         of equal ones the first; then a forced id in its place

One program a row of V logits, which is read once: V numbers move, or 2 V with guidance. The k-th best, and the least
that reaches p, are found in 32 rounds of counting, or of adding up probabilities: bit by bit, the largest number such
that the logits from it on reach k, or p (the bits are those of its image, the integer that orders as floats do). A row
wider than a block lies in a float32 scratch between the rounds.

top-p adds float32 probabilities in another order than a sort and a running sum do: other ids are kept only where a sum
is within rounding (about 1e-6) of p. l / T is a division, as PyTorch's on a CPU; on CUDA that multiplies by 1 / T,
which may move the last bit. A row with a NaN among its allowed ids gets V, which is not an id; among infinities the
first wins; nothing but -inf gives id 0. float64 is served by the reference only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .jit import FLOATS, Build, jit, next_power_of_2, on_triton, tl
from .philox import gumbel, gumbel_argmax

WIDEST, LOOPED_BLOCK = 8192, 4096  # logits that a program keeps in registers; of a wider row, those of a step


class Sampling(NamedTuple):
    """Parameters of a token's choice; ``top_k`` None = all, ``allowed`` = (first, end) or None = all ids."""

    guidance_scale: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    allowed: tuple[int, int] | None = None


def guide(cond: Tensor, uncond: Tensor | None, guidance_scale: float) -> Tensor:
    """uncond + s (cond - uncond), in float32 at least; ``cond`` alone at s = 1. All [..., V]."""
    cond = _wide(cond)
    if guidance_scale == 1.0:
        return cond
    assert uncond is not None, f"guidance_scale {guidance_scale} needs the unconditional logits"
    uncond = _wide(uncond)
    return uncond + guidance_scale * (cond - uncond)


def allow(logits: Tensor, allowed: tuple[int, int] | None) -> Tensor:
    """Ids outside [first, end) become -inf."""
    if allowed is None:
        return logits
    ids = torch.arange(logits.shape[-1], device=logits.device)
    return logits.masked_fill((ids < allowed[0]) | (ids >= allowed[1]), -torch.inf)


def keep_top_k(logits: Tensor, top_k: int | None) -> Tensor:
    """All but the k best become -inf. Ids tied with the k-th stay, so the result does not depend on a sort's order."""
    if top_k is None or top_k >= logits.shape[-1]:
        return logits
    last = logits.topk(top_k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < last, -torch.inf)


def keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Nucleus sampling (arXiv 1904.09751): the fewest best ids whose probabilities reach p stay; the best always."""
    if top_p >= 1.0:
        return logits
    ordered = logits.sort(dim=-1, descending=True).values
    share = ordered.softmax(-1)
    inside = share.cumsum(-1) - share < top_p  # the id that crosses p still belongs
    last = ordered.masked_fill(~inside, torch.inf).amin(-1, keepdim=True)
    return logits.masked_fill(logits < last, -torch.inf)


def best(logits: Tensor) -> Tensor:
    """The id of the largest logit [..., V] -> [...]; of equal ones the first, on every device and backend."""
    ids = torch.arange(logits.shape[-1], device=logits.device)
    return torch.where(logits == logits.amax(-1, keepdim=True), ids, logits.shape[-1]).amin(-1)


def force(tokens: Tensor, forced: Tensor | None) -> Tensor:
    """``forced`` int64 like ``tokens``: an id to write, or -1 to leave the choice."""
    return tokens if forced is None else torch.where(forced >= 0, forced, tokens)


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def pick(
    cond: Tensor, uncond: Tensor | None, noise: Tensor | None, sampling: Sampling, forced: Tensor | None
) -> Tensor:
    """Logits and Gumbel noise (unused when greedy) [..., V], ``forced`` [...] -> tokens int64 [...]: the formula."""
    logits = allow(guide(cond, uncond, sampling.guidance_scale), sampling.allowed)
    if sampling.temperature > 0:
        assert noise is not None, f"temperature {sampling.temperature} needs noise"
        logits = keep_top_p(keep_top_k(logits / sampling.temperature, sampling.top_k), sampling.top_p) + noise
    return force(best(logits), forced)


def sample_tokens_reference(
    cond: Tensor, uncond: Tensor | None, keys: Tensor | None, starts: Tensor, forced: Tensor, sampling: Sampling
) -> Tensor:
    """Logits [B, W, V] of positions ``starts`` [B], ``starts`` + 1, ... -> tokens int64 [B, W].

    ``forced`` int64 [n] holds an id for each of n positions, or -1 to leave the choice; one past the last counts as the
    last. ``keys`` int64 [B, 4] give the noise of a position (None when greedy), ``uncond`` is None without guidance.
    """
    positions = (starts[:, None] + torch.arange(cond.shape[1], device=cond.device)).clamp(max=len(forced) - 1)
    noise = None if sampling.temperature == 0 or keys is None else gumbel(keys, positions, cond.shape[2])
    return pick(cond, uncond, noise, sampling, forced[positions])


def sample_tokens(
    cond: Tensor, uncond: Tensor | None, keys: Tensor | None, starts: Tensor, forced: Tensor, sampling: Sampling
) -> Tensor:
    """As :func:`sample_tokens_reference`: by our kernel on CUDA, in one launch, by the reference elsewhere.
    ``ValueError`` for a setting out of range, guidance without logits and noise without keys."""
    scale, temperature, top_k, top_p, allowed = sampling
    vocab = cond.shape[-1]
    if scale != 1.0 and uncond is None:
        raise ValueError(f"guidance_scale {scale} needs the unconditional logits; choose 1 or give them")
    if not temperature >= 0 or (temperature > 0 and keys is None):
        raise ValueError(f"temperature {temperature} is out of range or lacks keys; choose 0 (greedy), or give keys")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k {top_k} is out of range; choose 1 or more, or None for all")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p {top_p} is out of range; choose above 0 up to 1")
    first, end = (0, vocab) if allowed is None else allowed
    if not 0 <= first < min(end, vocab):
        raise ValueError(f"allowed ids {allowed} are not a range (first, end) of the {vocab} ids")
    return _sample_tokens(cond, uncond, keys, starts, forced, scale, temperature, top_k or vocab, top_p, first, end)


@torch.library.custom_op("acdc::sample_tokens", mutates_args=())
def _sample_tokens(
    cond: Tensor,
    uncond: Tensor | None,
    keys: Tensor | None,
    starts: Tensor,
    forced: Tensor,
    guidance_scale: float,
    temperature: float,
    top_k: int,
    top_p: float,
    first: int,
    end: int,
) -> Tensor:
    if not (on_triton(cond) and cond.dtype in FLOATS):
        sampling = Sampling(guidance_scale, temperature, top_k, top_p, (first, end))
        return sample_tokens_reference(cond, uncond, keys, starts, forced, sampling)
    (stories, width, vocab), end = cond.shape, min(end, cond.shape[-1])
    size = end - first + first % 4  # from a multiple of four, as noise comes in blocks of four ids
    block, num_warps = choose_block(size)
    looped, noisy = size > block, temperature > 0
    cond, starts, forced = cond.contiguous(), starts.contiguous(), forced.contiguous()
    uncond, keys = cond if uncond is None else uncond.contiguous(), starts if keys is None else keys.contiguous()
    scratch = torch.empty(stories * width, size, device=cond.device) if looped else cond
    tokens = torch.empty(stories, width, dtype=torch.int64, device=cond.device)
    tensors = cond, uncond, keys, starts, forced, scratch, tokens
    numbers = width, vocab, len(forced), first, end, guidance_scale, temperature, float(top_k), top_p
    flags = guidance_scale != 1.0, noisy, noisy and top_k < vocab, noisy and top_p < 1, looped, block
    if tokens.numel():
        _sample[(tokens.numel(),)](*tensors, *numbers, *flags, num_warps=num_warps, enable_fp_fusion=False)
    return tokens


@_sample_tokens.register_fake
def _(cond: Tensor, *_: object) -> Tensor:
    return torch.empty(cond.shape[:2], dtype=torch.int64, device=cond.device)


def choose_block(num_ids: int) -> tuple[int, int]:
    """(logits in a block, warps) for a row of this length: all of it at once while the registers hold it."""
    block = max(16, next_power_of_2(num_ids)) if num_ids <= WIDEST else LOOPED_BLOCK
    return block, min(16, max(4, block // 256))


@jit
def _sample(
    cond,
    uncond,
    keys,
    starts,
    forced,
    scratch,
    tokens,
    width,
    vocab,
    num_positions,
    first,
    end,
    guidance_scale,
    temperature,
    top_k,
    top_p,
    GUIDED: tl.constexpr,
    NOISY: tl.constexpr,
    TOP_K: tl.constexpr,
    TOP_P: tl.constexpr,
    LOOPED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    base, lanes = first - first % 4, tl.arange(0, BLOCK)
    size = end - base
    cond, uncond, scratch = cond + row * vocab, uncond + row * vocab, scratch + row * size
    position = tl.minimum(tl.load(starts + row // width) + row % width, num_positions - 1)
    value = tl.full((BLOCK,), float("-inf"), tl.float32)
    peak, broken = float("-inf"), 0
    for start in range(0, size, BLOCK):
        ids = base + start + lanes
        inside = (ids >= first) & (ids < end)
        value = tl.load(cond + ids, inside, other=0.0).to(tl.float32)
        if GUIDED:
            null = tl.load(uncond + ids, inside, other=0.0).to(tl.float32)
            value = null + guidance_scale * (value - null)
        if NOISY:
            value = tl.div_rn(value, temperature)
        value = tl.where(inside, value, float("-inf"))
        broken += tl.sum((value != value).to(tl.int32), 0)
        peak = tl.maximum(peak, tl.max(value, 0))
        if LOOPED:
            tl.store(scratch + start + lanes, value, start + lanes < size)
    if LOOPED:
        tl.debug_barrier()
    floor = float("-inf")
    if TOP_K:
        floor = _cut(value, scratch, size, floor, peak, 1.0, top_k, False, LOOPED, BLOCK)
    if TOP_P:
        total = 0.0
        for start in range(0, size, BLOCK):
            if LOOPED:
                value = tl.load(scratch + start + lanes, start + lanes < size, other=float("-inf"))
            total += tl.sum(tl.where(value >= floor, tl.exp(value - peak), 0.0), 0)
        floor = _cut(value, scratch, size, floor, peak, total, top_p, True, LOOPED, BLOCK)
    highest, token = float("-inf"), 0
    for start in range(0, size, BLOCK):
        if LOOPED:
            value = tl.load(scratch + start + lanes, start + lanes < size, other=float("-inf"))
        if NOISY:
            kept = tl.where(value >= floor, value, float("-inf"))
            top, found = gumbel_argmax(kept, keys + row // width * 4, position, base + start, BLOCK)
        else:
            top = tl.max(value, 0)
            found = tl.min(tl.where(value == top, base + start + lanes, vocab), 0)
        token = tl.where(top > highest, found, token)
        highest = tl.maximum(highest, top)
    wanted = tl.load(forced + position)
    tl.store(tokens + row, tl.where(wanted >= 0, wanted, tl.where(broken > 0, vocab, token)))


@jit
def _cut(
    value, scratch, size, floor, peak, total, goal, SHARES: tl.constexpr, LOOPED: tl.constexpr, BLOCK: tl.constexpr
):
    """The largest number such that the logits from it on, and from ``floor`` on, reach ``goal``: in number, or with
    SHARES by their e^(l - peak) / total. ``floor`` if they never do."""
    found, bit, cut = tl.full((), 0, tl.uint32), tl.full((), 0x80000000, tl.uint32), floor
    for _ in range(32):
        image = tl.maximum(found | bit, 0x007FFFFF)  # that of -inf; all below are NaN
        trial = tl.where(image >= 0x80000000, image ^ 0x80000000, image ^ 0xFFFFFFFF).to(tl.float32, bitcast=True)
        reached, lanes = 0.0, tl.arange(0, BLOCK)
        for start in range(0, size, BLOCK):
            if LOOPED:
                value = tl.load(scratch + start + lanes, start + lanes < size, other=float("-inf"))
            weight = tl.div_rn(tl.exp(value - peak), total) if SHARES else 1.0
            reached += tl.sum(tl.where((value >= trial) & (value >= floor), weight, 0.0), 0)
        found = tl.where(reached >= goal, found | bit, found)
        cut = tl.where(reached >= goal, trial, cut)
        bit = bit >> 1
    return tl.maximum(cut, floor)


_TYPES = dict.fromkeys(("keys", "starts", "forced", "tokens"), "*i64")
_TYPES |= dict.fromkeys(("width", "vocab", "num_positions", "first", "end"), "i32")
_TYPES |= dict.fromkeys(("guidance_scale", "temperature", "top_k", "top_p"), "fp32")
_FLAGS = ("GUIDED", "NOISY", "TOP_K", "TOP_P", "LOOPED", "BLOCK")
BUILDS = tuple(
    Build(
        _sample,
        _TYPES | dict.fromkeys(("cond", "uncond", "scratch"), kind),
        dict(zip(_FLAGS, (True, True, cut, cut, vocab > WIDEST, choose_block(vocab)[0]), strict=True)),
        num_warps=choose_block(vocab)[1],
        fp_fusion=False,
    )
    for kind, cut, vocab in (("*bf16", False, 8192), ("*bf16", True, 8192), ("*fp32", True, 65536))
)
