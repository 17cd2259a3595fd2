"""One pass of exact parallel decoding: W codes of every story are guessed, computed side by side, and compared.

A code is a deterministic function of the codes before it and of its position's noise, x_k = f_k(x_<k)
(``sampling.choose``). So the drawn frame is the one solution of n equations, and Jacobi iteration finds it: feed
guesses, compute every f_k, accept up to and including the first position whose guess was wrong, take the computed
codes as the next guesses (Song et al. 2021; Wiggers & Hoogeboom 2020). Each pass accepts one code at least, and what is
accepted is what one code after another gives; W = 1 *is* one after another.

Worked example, n = 6 codes, window 4, two accepted (a b), guesses for the others in small letters:

    codes       a b c d e f     accepted 2
    fed           b c d e                       the last accepted code is owed to the cache
    computed        c D E F                     c was guessed right, D follows right codes, E and F do not
    codes       a b c D E F     accepted 4      E and F are the next guesses
    cache         b c . .                       the slots of b and c are final, the next pass overwrites the others
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....kernels.accept_tokens import accept_tokens, accept_tokens_reference
from ....kernels.sample_tokens import sample_tokens
from ...sampling import SamplingParams, choose
from ...utils.rng import gumbel
from ..read_cache import ReadCache
from .model import LWM


class DrawPass(nn.Module):
    """W positions a story: pass, sampling, comparison and the accepted count, as a function of tensors."""

    STATIC_INPUTS = (3, 4)  # keys and values: a captured graph reads them where they lie
    forced: Tensor

    def __init__(self, model: LWM, params: SamplingParams, window: int, codes_per_frame: int) -> None:
        super().__init__()
        self.model, self.params, self.window, self.codes_per_frame = model, params, window, codes_per_frame
        ids = dict(params.forced)  # by position, -1 where the choice is free
        table = torch.tensor([ids.get(slot, -1) for slot in range(codes_per_frame)])
        self.register_buffer("forced", table.to(model.vision_head.weight.device), persistent=False)

    def forward(
        self,
        codes: Tensor,
        accepted: Tensor,
        lengths: Tensor,
        keys: Tensor,
        values: Tensor,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The ARM draws (ACDC Eq. 1).

        ``codes`` int64 [B, n + W or more], of which story b's first ``accepted[b]`` (1 to n) are final and the
        others guesses; the cache's buffers with ``lengths`` [R], branches before stories, which lack the last accepted
        code; ``noise`` as :func:`pass_noise` gives it -> the codes and counts after the pass, and the new keys and
        values [layers, R, H, W, head_dim], of which those of the newly accepted count belong to the cache."""
        slots = accepted[:, None] + torch.arange(self.window, device=codes.device)
        fed = codes.gather(1, slots - 1).repeat(lengths.shape[0] // codes.shape[0], 1)
        cache, is_vision = ReadCache(keys, values, lengths), torch.ones_like(fed, dtype=torch.bool)
        hidden = self.model(fed, is_vision, cache, backend=self.model.read_backend)
        logits = self.model.vision_logits(hidden)
        cond, null = logits[: len(codes)], logits[len(codes) :] if self.params.guided else None
        if self.model.use_triton:
            computed = sample_tokens(cond, null, noise, accepted, self.forced, self.params.sampling)
            codes, accepted = accept_tokens(codes, accepted, computed, self.codes_per_frame)
        else:
            computed = self._choose(cond, null, noise, slots)
            codes, accepted = accept_tokens_reference(codes, accepted, computed, self.codes_per_frame)
        return codes, accepted, *cache.collected()

    def _choose(self, cond: Tensor, null: Tensor | None, noise: Tensor | None, slots: Tensor) -> Tensor:
        """The codes of ``slots`` [B, W]; anything for slots after the frame's last."""
        inside = slots.clamp(max=self.codes_per_frame - 1)
        if noise is not None:
            rows = torch.arange(len(slots), device=slots.device)[:, None] * self.codes_per_frame
            noise = noise.flatten(0, 1)[inside + rows]  # whole rows, which is quicker than gather()
        forced = self.forced[inside] if self.params.forced else None
        return choose(cond, null, noise, self.params, forced)


def pass_noise(model: LWM, params: SamplingParams, keys: Tensor, codes_per_frame: int) -> Tensor | None:
    """Source of the noise of a frame's passes: the Gumbel noise of all positions [B, n, V], or the stories'
    ``keys`` [B, 4] where a kernel draws it; None when greedy."""
    if not params.noisy:
        return None
    if model.use_triton:
        return keys
    return gumbel(keys, torch.arange(codes_per_frame, device=keys.device), model.config.vision_vocab)
