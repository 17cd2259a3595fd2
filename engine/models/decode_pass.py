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

A family's pass computes the logits of the window; what goes in and what is accepted is here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...kernels.accept_tokens import accept_tokens, accept_tokens_reference
from ...kernels.sample_tokens import sample_tokens
from ..sampling import SamplingParams, choose
from ..utils.rng import gumbel


class DecodePass(nn.Module):
    """W positions a story: the ids that are fed, and from their logits the codes and counts after the pass."""

    forced: Tensor

    def __init__(self, params: SamplingParams, window: int, codes_per_frame: int, device: torch.device) -> None:
        super().__init__()
        self.params, self.window, self.codes_per_frame = params, window, codes_per_frame
        ids = dict(params.forced)  # by position, -1 where the choice is free
        table = torch.tensor([ids.get(slot, -1) for slot in range(codes_per_frame)])
        self.register_buffer("forced", table.to(device), persistent=False)

    def fed(self, codes: Tensor, accepted: Tensor, rows: int) -> Tensor:
        """``codes`` int64 [B, n + W or more], of which story b's first ``accepted[b]`` (1 to n) are final -> the last
        of these and the guesses after it, int64 [rows, W]: in every branch the same."""
        slots = accepted[:, None] + torch.arange(self.window, device=codes.device)
        return codes.gather(1, slots - 1).repeat(rows // codes.shape[0], 1)

    def settle(
        self, codes: Tensor, accepted: Tensor, logits: Tensor, noise: Tensor | None, use_triton: bool
    ) -> tuple[Tensor, Tensor]:
        """Codes and counts after the pass, from the ``logits`` [R, W, V] after what was :meth:`fed`, branches before
        stories, and ``noise`` as :func:`pass_noise` gives it; by our kernels, or in plain PyTorch."""
        cond, null = logits[: len(codes)], logits[len(codes) :] if self.params.guided else None
        if use_triton:
            computed = sample_tokens(cond, null, noise, accepted, self.forced, self.params.sampling)
            return accept_tokens(codes, accepted, computed, self.codes_per_frame)
        computed = self._choose(cond, null, noise, accepted)
        return accept_tokens_reference(codes, accepted, computed, self.codes_per_frame)

    def _choose(self, cond: Tensor, null: Tensor | None, noise: Tensor | None, accepted: Tensor) -> Tensor:
        """The codes of the window [B, W]; anything for slots after the frame's last."""
        slots = accepted[:, None] + torch.arange(self.window, device=accepted.device)
        inside = slots.clamp(max=self.codes_per_frame - 1)
        if noise is not None:
            rows = torch.arange(len(slots), device=slots.device)[:, None] * self.codes_per_frame
            noise = noise.flatten(0, 1)[inside + rows]  # whole rows, which is quicker than gather()
        forced = self.forced[inside] if self.params.forced else None
        return choose(cond, null, noise, self.params, forced)


def pass_noise(
    params: SamplingParams, keys: Tensor, codes_per_frame: int, vocab: int, use_triton: bool
) -> Tensor | None:
    """Source of the noise of a frame's passes: the Gumbel noise of all positions [B, n, vocab], or the stories'
    ``keys`` [B, 4] where a kernel draws it; None when greedy."""
    if not params.noisy:
        return None
    if use_triton:
        return keys
    return gumbel(keys, torch.arange(codes_per_frame, device=keys.device), vocab)


def first_guesses(
    logits: Tensor, params: SamplingParams, keys: Tensor, noise: Tensor | None, guesses: Tensor | None,
    codes_per_frame: int, window: int, use_triton: bool,
) -> Tensor:  # fmt: skip
    """The first code, which its ``logits`` [R, V] (branches before stories) and its noise decide, and guesses for the
    others [B, n]: those given, or where None by the same logits with each position's own noise. ``noise`` as
    :func:`pass_noise` gives it for ``keys``, ``window`` the most codes of a pass."""
    stories = len(keys)
    if window == 1 and guesses is None:  # one by one nothing is guessed, and logits of a whole frame are large
        guesses = torch.zeros(stories, codes_per_frame, dtype=torch.int64, device=keys.device)
    known = codes_per_frame if guesses is None else 1
    if noise is not None:
        slots = torch.arange(known, device=keys.device)
        noise = gumbel(keys, slots, logits.shape[-1]) if use_triton else noise[:, :known]
    logits = logits[:, None].expand(-1, known, -1)
    null = logits[stories:] if params.guided else None
    chosen = choose(logits[:stories], null, noise, params)
    guesses = chosen if guesses is None else torch.cat((chosen, guesses[:, 1:]), 1)
    guesses = guesses.clone()
    for slot, code in params.forced:
        guesses[:, slot] = code
    return guesses
