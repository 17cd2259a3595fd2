"""The codes of one frame of every story, drawn in T passes over all slots (MaskGIT, arXiv 2202.04200; Show-o's loop).

Every pass draws a code for each unknown slot and makes the least confident of them unknown again, fewer each time:
cos(pi k / 2T) of all after step k. The result is the last pass's draw, *before* its masking, which would leave one
slot unknown. Noise of slot n in step k is at position k N + n of purpose TOKEN, the confidences' at position k of
purpose CONFIDENCE (value n), so no draw depends on batch, order or device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.rng import Purpose, uniform
from ..kv_cache import KVCache

MaskGitStep = Callable[..., tuple[Tensor, Tensor]]


@dataclass
class MaskGitState:
    """A frame of every story between two steps, of which ``step`` were run: ``codes`` int64 [B, N], -1 where unknown,
    ``drawn`` [B, N] as the last step drew them, ``keys`` [B, 4] from ``rng.make_keys`` with purpose TOKEN."""

    codes: Tensor
    drawn: Tensor
    keys: Tensor
    step: int = 0

    @classmethod
    def begin(cls, codes: Tensor, keys: Tensor) -> MaskGitState:
        """From what is known before the first step."""
        return cls(codes, codes, keys)

    def advance(self, run: MaskGitStep, cache: KVCache, until: int) -> None:
        """Run up to that number of steps, after what ``cache`` holds. Nothing is read back from the device."""
        score_keys = rekey(self.keys, Purpose.CONFIDENCE)
        steps = torch.arange(until, device=self.codes.device)
        for step in range(self.step, until):
            held = (cache.keys, cache.values, cache.lengths)
            self.drawn, self.codes = run(self.codes, *held, self.keys, score_keys, steps[step : step + 1])
        self.step = until

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from (self.codes, self.drawn, self.keys)

    def part(self, stories: Sequence[int]) -> MaskGitState:
        """A copy of these stories."""
        chosen = list(stories)
        return MaskGitState(self.codes[chosen], self.drawn[chosen], self.keys[chosen], self.step)


def join(parts: Sequence[MaskGitState]) -> MaskGitState:
    """Stories after the same number of steps, side by side."""
    (step,) = {part.step for part in parts}
    codes, drawn, keys = (torch.cat([getattr(part, name) for part in parts]) for name in ("codes", "drawn", "keys"))
    return MaskGitState(codes, drawn, keys, step)


def draw(run: MaskGitStep, codes: Tensor, cache: KVCache, keys: Tensor, num_steps: int, codebook_size: int) -> Tensor:
    """From ``codes`` int64 [B, N], -1 where unknown, and the cache of what is before the frame -> codes [B, N].

    ``keys`` [B, 4] from ``rng.make_keys`` with purpose TOKEN.
    """
    frame = MaskGitState.begin(codes, keys)
    frame.advance(run, cache, num_steps)
    return frame.drawn.clamp(0, codebook_size - 1)


def keep_some(codes: Tensor, share: float, keys: Tensor) -> Tensor:
    """int64 [B, N] -> the same with all but floor(``share`` N) slots of each story unknown (-1).

    Which ones is drawn from ``keys`` with purpose CARRY, one number a slot: N = 4, share 0.5, numbers .7 .1 .9 .4 keep
    slots 1 and 3.
    """
    slots = torch.arange(codes.shape[1], device=codes.device)
    draws = uniform(rekey(keys, Purpose.CARRY), slots, 1)[:, :, 0]
    rank = draws.argsort(dim=1, stable=True).argsort(dim=1)
    return codes.masked_fill(rank >= int(share * codes.shape[1]), -1)


def rekey(keys: Tensor, purpose: Purpose) -> Tensor:
    """The stories' keys [B, 4] for another purpose in the same frame."""
    return torch.cat((keys[:, :3], torch.full_like(keys[:, 3:], int(purpose))), 1)
