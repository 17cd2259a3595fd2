"""Speculative coupled decoding's rule, to compare: drafts that follow a distribution from pass to pass.

SCD (arXiv 2510.24211) iterates over a window as the exact scheme does, but its noise does not belong to a position. A
draft x was drawn from a distribution q; a pass gives p for the same position. x stays with probability
min(1, p(x) / q(x)), else it is replaced by a draw from the residual (p - q)+: a maximal coupling of q and p. Codes are
accepted up to and including the first that was replaced; the drafts after it have passed through the same coupling, and
follow their new p. The result has the distribution of one code after another, but is another sample. ``fresh`` draws
those later drafts independently of the old ones instead (speculative Jacobi decoding, arXiv 2410.01699).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...engine.models.causal.decode_pass import DrawPass
from ...engine.models.causal.decoder import Decoder
from ...engine.models.decode import draw
from ...engine.sampling import SamplingParams
from .frames import POLICY, Start

TINY = 1e-12


class CoupledPass(DrawPass):
    """A pass of one story whose accept rule is SCD's; ``drafted`` [n + W, V] are the distributions of the drafts."""

    def __init__(
        self, model: Decoder, params: SamplingParams, window: int, codes_per_frame: int, drafted: Tensor,
        generator: torch.Generator, fresh: bool,
    ) -> None:  # fmt: skip
        super().__init__(model, params, window, codes_per_frame)
        self.drafted, self.generator, self.fresh = drafted, generator, fresh

    def settle(
        self, codes: Tensor, accepted: Tensor, logits: Tensor, noise: Tensor | None, use_triton: bool
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`DecodePass.settle`."""
        first = int(accepted[0])
        count = min(self.window, self.codes_per_frame - first)
        slots = slice(first, first + count)
        p = logits[0, :count, : self.drafted.shape[1]].float().softmax(-1)
        kept, chosen = coupled(codes[0, slots], self.drafted[slots], p, self.generator)
        right = count if bool(kept.all()) else int(kept.int().argmin())
        if self.fresh and right + 1 < count:
            chosen[right + 1 :] = torch.multinomial(p[right + 1 :], 1, generator=self.generator)[:, 0]
        codes = codes.clone()
        codes[0, slots], self.drafted[slots] = chosen, p
        return codes, accepted + min(right + 1, count)


def coupled(x: Tensor, q: Tensor, p: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Drafts [W] that follow ``q`` [W, V] -> which of them stay, and codes [W] that follow ``p``."""
    rows = torch.arange(len(x))
    kept = torch.rand(len(x), generator=generator) * q[rows, x] < p[rows, x]
    residual = (p - q).clamp(min=0)
    empty = residual.sum(-1, keepdim=True) < TINY  # p is q but for rounding: nothing is replaced, or anything fits
    other = torch.multinomial(torch.where(empty, p, residual), 1, generator=generator)[:, 0]
    return kept, torch.where(kept, x, other)


def coupled_draw(start: Start, draft: Tensor | None, window: int, seed: int, fresh: bool = False) -> tuple[Tensor, int]:
    """The codes [1, n] of a frame of one story, and the passes that they took. ``draft`` [1, n] counts as certain (q is
    1 there); where None, drafts are drawn evenly from all codes, as SCD's are."""
    session, arm = start.session.fork(), start.session.arm
    stream, size = arm.stream, arm.stream.codebook_size
    generator = torch.Generator().manual_seed(seed)
    params = replace(POLICY, allowed=(0, size))
    if draft is None:
        guesses = torch.randint(size, (1, stream.slots), generator=generator)
        drafted = torch.full((stream.slots + window, size), 1.0 / size)
    else:
        guesses = draft
        drafted = torch.nn.functional.one_hot(torch.nn.functional.pad(draft[0], (0, window)), size).float()
    drawing = session.drawing(params, start.keys, guesses, window)
    run = CoupledPass(arm.model, params, window, stream.slots, drafted, generator, fresh)
    passes = draw(drawing, lambda _: run, stream.slots, (window,))
    return drawing.codes[:, : stream.slots], passes
