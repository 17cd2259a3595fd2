"""One pass of exact parallel decoding: W codes of every story are guessed, computed side by side, and compared.

A code is a deterministic function of the codes before it and of its position's noise, x_k = f_k(x_<k)
(``sampling.choose``). So the drawn frame is the one solution of n equations, and Jacobi iteration finds it: feed
guesses, compute every f_k, accept up to and including the first position whose guess was wrong, take the computed
codes as the next guesses (Song et al. 2021; Wiggers & Hoogeboom 2020). Each pass accepts one code at least, and what is
accepted is what one code after another gives; W = 1 *is* one after another.

Worked example, n = 6 codes, window 4, two accepted (a b), guesses for the others in small letters:

    codes       a b c d e f     accepted 2
    fed           b c d e                       the last accepted code is owed to the cache
    computed        c D E F                     c was guessed right, D stands on right codes, E and F do not
    codes       a b c D E F     accepted 4      E and F are the next guesses
    cache         b c . .                       the slots of b and c are final, the next pass overwrites the others
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..models.arm.lwm import LWM
from ..sampling import Policy, choose
from .read_cache import KernelCache, ReadCache


class DrawPass(nn.Module):
    """W positions a story: pass, sampling, comparison and the accepted count, as a function of tensors."""

    HELD = (3, 4)  # keys and values: a captured graph reads them where they lie
    forced: Tensor | None

    def __init__(self, model: LWM, policy: Policy, window: int, codes_per_frame: int) -> None:
        super().__init__()
        self.model, self.policy, self.window, self.codes_per_frame = model, policy, window, codes_per_frame
        self.register_buffer("forced", self._forced(), persistent=False)

    def forward(
        self,
        codes: Tensor,
        accepted: Tensor,
        lengths: Tensor,
        keys: Tensor,
        values: Tensor,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``codes`` int64 [B, n + W or more], of which story b's first ``accepted[b]`` (1 to n) are final and the
        others guesses; the cache's buffers with ``lengths`` [R], branches before stories, which lack the last accepted
        code; Gumbel ``noise`` [B, n, V], None when greedy -> the codes and counts after the pass, and the new keys
        and values [layers, R, H, W, head_dim], of which those of the newly accepted count belong to the cache."""
        slots = accepted[:, None] + torch.arange(self.window, device=codes.device)
        fed = codes.gather(1, slots - 1).repeat(lengths.shape[0] // codes.shape[0], 1)
        cache = (KernelCache if self.model.kerneled else ReadCache)(keys, values, lengths)
        hidden = self.model(fed, torch.ones_like(fed, dtype=torch.bool), cache)
        computed = self._choose(self.model.vision_logits(hidden), noise, slots)
        wrong = (computed != codes.gather(1, slots))[:, :-1].long()
        right = (wrong.cumsum(1) == 0).sum(1)  # guesses before the first wrong one
        new = torch.minimum(1 + right, self.codes_per_frame - accepted)
        return codes.scatter(1, slots, computed), accepted + new, *cache.collected()

    def _choose(self, logits: Tensor, noise: Tensor | None, slots: Tensor) -> Tensor:
        """The codes of ``slots`` [B, W]; of slots behind the frame's last, anything."""
        inside = slots.clamp(max=self.codes_per_frame - 1)
        if noise is not None:
            rows = torch.arange(len(slots), device=slots.device)[:, None] * self.codes_per_frame
            noise = noise.flatten(0, 1)[inside + rows]  # whole rows, which is quicker than gather()
        null = logits[slots.shape[0] :] if self.policy.guided else None
        forced = None if self.forced is None else self.forced[inside]
        return choose(logits[: slots.shape[0]], null, noise, self.policy, forced)

    def _forced(self) -> Tensor | None:
        """The policy's forced ids by position, -1 where there is none: int64 [n], or None without any."""
        if not self.policy.forced:
            return None
        ids = dict(self.policy.forced)
        table = [ids.get(slot, -1) for slot in range(self.codes_per_frame)]
        return torch.tensor(table, device=self.model.vision_head.weight.device)
