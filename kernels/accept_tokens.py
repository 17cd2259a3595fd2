"""Accept tokens after a pass of W positions a story: they replace the guesses, and the final ones are counted.

A token is a function of the tokens before it, so what was computed from right guesses is final: all up to and including
the first whose guess was wrong, and not past the frame's last. The algorithm's docstring is
``engine/models/decode_pass.py``. Worked example, num_codes = 6, W = 4, two accepted; small letters are guesses:

    codes      a b c d e f . .      computed  c D E F      ->  codes  a b c D E F . .      accepted 4

One program a story of L codes: 2 L + W integers move. Exact for any integers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .jit import Build, jit, next_power_of_2, on_triton, tl


def accept_tokens_reference(codes: Tensor, accepted: Tensor, computed: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """Write the W ``computed`` tokens [B, W] over story b's guesses from ``accepted[b]`` on, and count what is final
    now: up to and including the first whose guess was wrong, and not past the last.

    ``codes`` int64 [B, num_codes + W or more], ``accepted`` int64 [B] (1 to ``num_codes``) -> both, new.
    """
    slots = accepted[:, None] + torch.arange(computed.shape[1], device=codes.device)
    wrong = (computed != codes.gather(1, slots))[:, :-1].long()
    right = (wrong.cumsum(1) == 0).sum(1)  # guesses before the first wrong one
    new = torch.minimum(1 + right, num_codes - accepted)
    return codes.scatter(1, slots, computed), accepted + new


@torch.library.custom_op("acdc::accept_tokens", mutates_args=())
def accept_tokens(codes: Tensor, accepted: Tensor, computed: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """As :func:`accept_tokens_reference`: by our kernel on CUDA, in one launch, by the reference elsewhere."""
    if not on_triton(codes):
        return accept_tokens_reference(codes, accepted, computed, num_codes)
    codes, accepted, computed = codes.contiguous(), accepted.contiguous(), computed.contiguous()
    fresh, counts = torch.empty_like(codes), torch.empty_like(accepted)
    if codes.numel():
        (stories, length), width = codes.shape, computed.shape[1]
        blocks = next_power_of_2(width), min(1024, next_power_of_2(length))
        _accept[(stories,)](codes, accepted, computed, fresh, counts, length, width, num_codes, *blocks)
    return fresh, counts


@accept_tokens.register_fake
def _(codes: Tensor, accepted: Tensor, computed: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(codes), torch.empty_like(accepted)


@jit
def _accept(
    codes, accepted, computed, fresh, counts, length, width, num_codes, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    story = tl.program_id(0).to(tl.int64)
    codes, computed, fresh = codes + story * length, computed + story * width, fresh + story * length
    done, slot = tl.load(accepted + story), tl.arange(0, WIDTH)
    guessed = slot < width - 1  # this pass did not guess the last computed token
    guess = tl.load(codes + done + slot, guessed, other=0)
    wrong = guessed & (guess != tl.load(computed + slot, guessed, other=0))
    right = tl.min(tl.where(wrong, slot, width - 1), 0)
    tl.store(counts + story, done + tl.minimum(1 + right, num_codes - done))
    for start in range(0, length, BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside, drawn = place < length, (place >= done) & (place < done + width)
        code = tl.load(codes + place, inside & ~drawn, other=0)
        tl.store(fresh + place, tl.where(drawn, tl.load(computed + place - done, drawn, other=0), code), inside)


_TYPES = dict.fromkeys(("codes", "accepted", "computed", "fresh", "counts"), "*i64")
_TYPES |= dict.fromkeys(("length", "width", "num_codes"), "i32")
BUILDS = (Build(_accept, _TYPES, {"WIDTH": 16, "BLOCK": 512}),)
