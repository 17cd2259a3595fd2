"""From logits to tokens: pure functions, one row per position, so that one position or many are sampled alike.

The order is guidance -> allowed ids -> temperature -> top-k -> top-p -> + Gumbel noise -> argmax -> forced ids.
Sampling is a deterministic function of logits and noise, token = argmax(logits / T + G), which draws from
softmax(logits / T) (the Gumbel-max trick). The noise belongs to the position, never to the pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .story import LOWEST_TEMPERATURE


@dataclass(frozen=True)
class Policy:
    """How the tokens of a chunk are chosen.

    ``guidance_scale`` s: uncond + s (cond - uncond), 1 = no guidance (classifier-free guidance, arXiv 2207.12598).
    ``temperature`` 0 = greedy: the best id, without noise. ``top_k`` keeps the k best ids (None = all; ids tied with
    the k-th stay), ``top_p`` the smallest set of best ids that reaches that probability. ``allowed`` = (first, end)
    is the half-open range of legal ids (None = the model's codes). ``forced`` = pairs (position in the chunk, id)
    that are written whatever the logits say.
    """

    guidance_scale: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    allowed: tuple[int, int] | None = None
    forced: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not (self.temperature == 0 or self.temperature >= LOWEST_TEMPERATURE):
            raise ValueError(
                f"temperature {self.temperature} is out of range; choose 0 (greedy) or {LOWEST_TEMPERATURE} and more"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k {self.top_k} is out of range; choose 1 or more, or None for all")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p {self.top_p} is out of range; choose above 0 up to 1")
        if self.allowed is not None and not 0 <= self.allowed[0] < self.allowed[1]:
            raise ValueError(f"allowed ids {self.allowed} are not a range (first, end) with first < end")

    @property
    def guided(self) -> bool:
        return self.guidance_scale != 1.0

    @property
    def noisy(self) -> bool:
        return self.temperature > 0


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


def choose(
    cond: Tensor,
    uncond: Tensor | None,
    noise: Tensor | None,
    policy: Policy,
    forced: Tensor | None = None,
) -> Tensor:
    """Logits [W, V], Gumbel noise [W, V] (unused when greedy), forced [W] -> tokens int64 [W].

    Any leading shape will do in place of W. An all-forbidden row cannot occur: ``allowed`` holds at least one id.
    """
    logits = allow(guide(cond, uncond, policy.guidance_scale), policy.allowed)
    if policy.noisy:
        assert noise is not None, f"temperature {policy.temperature} needs noise"
        logits = keep_top_p(keep_top_k(logits / policy.temperature, policy.top_k), policy.top_p) + noise
    return force(best(logits), forced)


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
