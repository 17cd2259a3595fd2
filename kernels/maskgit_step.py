"""One step of MaskGIT as Show-o runs it (arXiv 2408.12528, 2202.04200), from the logits to the next step's codes.

Step k of T, for the N image slots of a story, of which some are unknown:

    l        (1 + g) cond - g uncond                        float32; cond alone at g = 0
    drawn    argmax(l + G), G Gumbel noise                  a draw from softmax(l); known slots keep their code
    score    log max(softmax(l)[drawn], 1e-20) + tau_k G'   G' one number a slot
    masked   max(1, min(unknown - 1, floor(N cos(pi k / 2T))))      how many, per story
    cut      the score at index ``masked`` of all in ascending order: unknown slots strictly below it are masked again

with tau_k = tau_(k-1) (1 - k / T): the temperature is the product over all steps so far, never set back. Known slots
come last in the order and stay known. (The published code gives them log-confidence 88.7, which is as good while a
slot is unknown and tau is not large.) Ties at the cut mask fewer. The result of the last step is its ``drawn``.

The noise of slot n and code v in step k (counted from 0) is value v of position k N + n of ``keys``, the score's is
value n of position k of ``score_keys``. Two launches: one program a slot walks once through V logits (V numbers move,
or 2 V with guidance; known slots read nothing), then one a few slots counts how many scores do not exceed each. A row
with a NaN draws V, which is not a code, and is not masked again. float64 is served by the reference only.

Worked example, N = 4, masked 2, scores (-1, -3, known, -2): in order -3 -2 -1 known, the cut is -1; slots 1 and 3 are
masked.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .jit import FLOATS, Build, jit, next_power_of_2, on_triton, tl
from .philox import gumbel, gumbel_argmax, gumbel_values
from .sample_tokens import best

UNKNOWN = -1
WIDEST = 2048  # logits that a program takes at a time
ROWS, COLUMNS = 32, 128  # scores compared at a time


def maskgit_schedule(num_tokens: int, num_steps: int, temperature: float = 1.0) -> Tensor:
    """(how many slots the cosine leaves masked, tau) after each step: float32 [T, 2].

    The cosine's argument is rounded to float32 as in the published code, which decides 128 or 127 of 256 at 2/3.
    """
    rows = []
    for step in range(1, num_steps + 1):
        ratio = step / num_steps
        angle = torch.tensor(ratio) * math.pi * 0.5
        temperature *= 1.0 - ratio
        rows.append((float((num_tokens * angle.double().cos().float()).floor()), temperature))
    return torch.tensor(rows)


def maskgit_step_reference(
    cond: Tensor,
    uncond: Tensor | None,
    codes: Tensor,
    keys: Tensor,
    score_keys: Tensor,
    schedule: Tensor,
    step: Tensor,
    guidance: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Logits [B, N, V] and ``codes`` int64 [B, N], -1 where unknown -> (``drawn``, the next codes), int64 [B, N] each.

    ``keys`` and ``score_keys`` int64 [B, 4], ``schedule`` [T, 2] of :func:`maskgit_schedule` on the same device,
    ``step`` int64 [1], counted from 0. ``uncond`` is None without guidance.
    """
    slots, vocab = cond.shape[1:]
    logits = _wide(cond)
    if guidance != 0.0:
        assert uncond is not None, f"guidance {guidance} needs the unconditional logits"
        logits = (1.0 + guidance) * logits - guidance * _wide(uncond)
    unknown = codes < 0
    drawn = best(logits + gumbel(keys, step * slots + torch.arange(slots, device=step.device), vocab))
    drawn = torch.where(unknown, drawn, codes)
    confidence = logits.softmax(-1).gather(-1, drawn.clamp(max=vocab - 1)[..., None])[..., 0]
    planned, temperature = schedule.index_select(0, step)[0].unbind()
    score = confidence.clamp(min=1e-20).log() + temperature * gumbel(score_keys, step, slots)[:, 0]
    score = score.masked_fill(~unknown | score.isnan(), torch.inf)
    masked = torch.minimum(unknown.sum(1) - 1, planned.long()).clamp(min=1)
    ordered = F.pad(score.sort(1).values, (0, 1), value=torch.inf)
    return drawn, drawn.masked_fill(score < ordered.gather(1, masked[:, None]), UNKNOWN)


@torch.library.custom_op("acdc::maskgit_step", mutates_args=())
def maskgit_step(
    cond: Tensor,
    uncond: Tensor | None,
    codes: Tensor,
    keys: Tensor,
    score_keys: Tensor,
    schedule: Tensor,
    step: Tensor,
    guidance: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """As :func:`maskgit_step_reference`: by our kernels on CUDA, in two launches, by the reference elsewhere.
    ``ValueError`` for guidance without unconditional logits."""
    if guidance != 0.0 and uncond is None:
        raise ValueError(f"guidance {guidance} needs the unconditional logits; choose 0 or give them")
    if not (on_triton(cond) and cond.dtype in FLOATS):
        return maskgit_step_reference(cond, uncond, codes, keys, score_keys, schedule, step, guidance)
    (stories, slots, vocab), cond, codes = cond.shape, cond.contiguous(), codes.contiguous()
    uncond = cond if uncond is None else uncond.contiguous()
    keys, score_keys, schedule = keys.contiguous(), score_keys.contiguous(), schedule.contiguous()
    drawn, fresh = torch.empty_like(codes), torch.empty_like(codes)
    scores = torch.empty(codes.shape, dtype=torch.float32, device=codes.device)
    if codes.numel():
        block, num_warps = choose_block(vocab)
        tensors = cond, uncond, codes, keys, score_keys, schedule, step, drawn, scores
        numbers = slots, vocab, 1.0 + guidance, guidance, guidance != 0.0, block
        _draw[(codes.numel(),)](*tensors, *numbers, num_warps=num_warps, enable_fp_fusion=False)
        grid = (stories, -(-slots // ROWS))
        _mask[grid](codes, schedule, step, drawn, scores, fresh, slots, ROWS, COLUMNS, enable_fp_fusion=False)
    return drawn, fresh


@maskgit_step.register_fake
def _(cond: Tensor, uncond: Tensor | None, codes: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(codes), torch.empty_like(codes)


def choose_block(vocab: int) -> tuple[int, int]:
    """(logits at a time, warps): several programs fit on a multiprocessor, for there are hundreds."""
    block = min(WIDEST, max(16, next_power_of_2(vocab)))
    return block, 8 if block == WIDEST else 4


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


@jit
def _draw(
    cond,
    uncond,
    codes,
    keys,
    score_keys,
    schedule,
    step,
    drawn,
    scores,
    slots,
    vocab,
    cond_scale,
    uncond_scale,
    GUIDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    story, slot = row // slots, row % slots
    cond, uncond, now = cond + row * vocab, uncond + row * vocab, tl.load(step)
    code, score = tl.load(codes + row), tl.full((), float("inf"), tl.float32)
    if code < 0:
        peak, total, highest, chosen, token, broken = -3.0e38, 0.0, float("-inf"), float("-inf"), 0, 0
        for start in range(0, vocab, BLOCK):
            ids = start + tl.arange(0, BLOCK)
            inside = ids < vocab
            value = tl.load(cond + ids, inside, other=0.0).to(tl.float32)
            if GUIDED:
                value = cond_scale * value - uncond_scale * tl.load(uncond + ids, inside, other=0.0).to(tl.float32)
            value = tl.where(inside, value, float("-inf"))
            broken += tl.sum((value != value).to(tl.int32), 0)
            above = tl.maximum(peak, tl.max(value, 0))
            total = total * tl.exp(peak - above) + tl.sum(tl.exp(value - above), 0)
            peak = above
            top, found = gumbel_argmax(value, keys + story * 4, now * slots + slot, start, BLOCK)
            chosen = tl.where(top > highest, tl.max(tl.where(ids == found, value, float("-inf")), 0), chosen)
            token = tl.where(top > highest, found, token)
            highest = tl.maximum(highest, top)
        confidence = tl.div_rn(tl.exp(chosen - peak), total)
        noise = gumbel_values(score_keys + story * 4, now, slot // 4 * 4, 4)
        noise = tl.sum(tl.where(tl.arange(0, 4) == slot % 4, noise, 0.0), 0)
        score = tl.log(tl.where(confidence < 1e-20, 1e-20, confidence)) + tl.load(schedule + 2 * now + 1) * noise
        score = tl.where((score != score) | (broken > 0), float("inf"), score)
        code = tl.where(broken > 0, vocab, token).to(tl.int64)
    tl.store(drawn + row, code)
    tl.store(scores + row, score)


@jit
def _mask(codes, schedule, step, drawn, scores, fresh, slots, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * slots
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    mine = tl.load(scores + first + rows, rows < slots, other=float("inf"))
    not_above, unknown = tl.zeros((ROWS,), tl.int32), 0
    for start in range(0, slots, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        others = tl.load(scores + first + columns, columns < slots, other=float("inf"))
        not_above += tl.sum((others[None, :] <= mine[:, None]).to(tl.int32), 1)
        code = tl.load(codes + first + columns, columns < slots, other=0)
        unknown += tl.sum((code < 0).to(tl.int32), 0)
    planned = tl.load(schedule + 2 * tl.load(step)).to(tl.int32)
    masked = tl.maximum(1, tl.minimum(unknown - 1, planned))
    below = (not_above <= masked) & (mine < float("inf"))  # the cut is the score at index ``masked``
    code = tl.load(drawn + first + rows, rows < slots, other=0)
    tl.store(fresh + first + rows, tl.where(below, -1, code), rows < slots)


_TYPES = dict.fromkeys(("codes", "keys", "score_keys", "step", "drawn", "fresh"), "*i64")
_TYPES |= dict.fromkeys(("scores", "schedule"), "*fp32") | dict.fromkeys(("slots", "vocab"), "i32")
_TYPES |= dict.fromkeys(("cond_scale", "uncond_scale"), "fp32")
BUILDS = (
    *(
        Build(
            _draw,
            {name: kind for name, kind in _TYPES.items() if name != "fresh"} | {"cond": logits, "uncond": logits},
            {"GUIDED": True, "BLOCK": choose_block(8192)[0]},
            num_warps=choose_block(8192)[1],
            fp_fusion=False,
        )
        for logits in ("*fp32", "*bf16")
    ),
    Build(
        _mask,
        {name: _TYPES[name] for name in ("codes", "schedule", "step", "drawn", "scores", "fresh", "slots")},
        {"ROWS": ROWS, "COLUMNS": COLUMNS},
        fp_fusion=False,
    ),
)
