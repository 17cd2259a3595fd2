"""From logits to tokens: one row per position, so that one position or many are sampled alike.

The order is guidance -> allowed ids -> temperature -> top-k -> top-p -> + Gumbel noise -> argmax -> forced ids.
Sampling is a deterministic function of logits and noise, token = argmax(logits / T + G), which draws from
softmax(logits / T) (the Gumbel-max trick). The noise belongs to the position, never to the pass. The functions are in
:mod:`acdc.kernels.sample_tokens`, next to the kernel that does the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..kernels.sample_tokens import Sampling, allow, best, force, guide, keep_top_k, keep_top_p, pick
from .options import LOWEST_TEMPERATURE, StoryOptions

__all__ = [
    "SamplingParams", "allow", "best", "choose", "force", "guide", "keep_top_k", "keep_top_p", "make_sampling_params",
]  # fmt: skip


@dataclass(frozen=True)
class SamplingParams:
    """Parameters of the choice of a chunk's tokens.

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

    @property
    def sampling(self) -> Sampling:
        """The kernel's arguments; forced ids go to it as a table."""
        return Sampling(self.guidance_scale, self.temperature, self.top_k, self.top_p, self.allowed)


def choose(
    cond: Tensor,
    uncond: Tensor | None,
    noise: Tensor | None,
    params: SamplingParams,
    forced: Tensor | None = None,
) -> Tensor:
    """Logits [W, V], Gumbel noise [W, V] (unused when greedy), forced [W] -> tokens int64 [W] (ACDC Eq. 1).

    Any leading shape will do in place of W. An all-forbidden row cannot occur: ``allowed`` holds at least one id.
    """
    return pick(cond, uncond, noise, params.sampling, forced)


def make_sampling_params(options: StoryOptions) -> SamplingParams:
    """Sampling parameters of ``options``, which are resolved."""
    assert options.sampling.temperature is not None
    assert options.sampling.top_p is not None
    assert options.sampling.guidance_scale is not None
    return SamplingParams(
        guidance_scale=options.sampling.guidance_scale,
        temperature=options.sampling.temperature,
        top_k=options.sampling.top_k or None,
        top_p=options.sampling.top_p,
    )
