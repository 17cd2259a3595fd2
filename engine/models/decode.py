"""The codes of one frame of every story, drawn pass by pass: one after another, or many in parallel, with the same end.

See :mod:`acdc.engine.models.decode_pass` for what a pass does. The widest window that a frame still fills is used,
and stories that are finished leave the batch as soon as half of it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..sampling import SamplingParams
from .kv_cache import KVCache
from .tokens_per_pass import SEQUENTIAL

Pass = Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]


@dataclass
class DecodeState:
    """``codes`` int64 [B, n + W], of which story b's first ``accepted[b]`` are final; its cache lacks the last of them.

    ``noise`` is what :func:`acdc.engine.models.decode_pass.pass_noise` gives, None when greedy.
    """

    params: SamplingParams
    codes: Tensor
    accepted: Tensor
    noise: Tensor | None
    cache: KVCache

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Arguments of a pass but for the noise, which comes last where there is any."""
        return self.codes, self.accepted, self.cache.lengths, self.cache.keys, self.cache.values

    def run(self, draw: Pass) -> None:
        """One pass. The cache's new lengths stay on the device."""
        noise = () if self.noise is None else (self.noise,)
        self.codes, accepted, keys, values = draw(*self.inputs, *noise)
        self.cache.put(keys, values)
        grown = (accepted - self.accepted).repeat(self.cache.rows // len(accepted))
        self.cache.lengths = (
            self.cache.lengths + grown
        )  # a new tensor: another slot may be copying a row of the old one
        self.accepted = accepted

    def part(self, stories: Sequence[int]) -> DecodeState:
        """A copy of these stories."""
        chosen = list(stories)
        noise = None if self.noise is None else self.noise[chosen]
        cache = self.cache.fork(self._rows(chosen))
        return DecodeState(self.params, self.codes[chosen], self.accepted[chosen], noise, cache)

    def join(self, part: DecodeState, stories: Sequence[int]) -> None:
        """Take back what :meth:`part` gave away."""
        chosen = list(stories)
        self.codes[chosen], self.accepted[chosen] = part.codes, part.accepted
        self.cache.paste(part.cache, self._rows(chosen))
        part.cache.release()

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from (self.codes, self.accepted)
        if self.noise is not None:
            yield self.noise
        yield from self.cache.tensors()

    def _rows(self, stories: list[int]) -> list[int]:
        """The cache's rows of these stories, in all branches."""
        total = self.accepted.shape[0]
        return [first + story for first in range(0, self.cache.rows, total) for story in stories]


def begun(guesses: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """``codes`` and ``accepted`` of a frame from guesses [B, n] of which the first is right, for up to ``window`` codes
    a pass."""
    codes = torch.nn.functional.pad(guesses, (0, window))
    return codes, torch.ones_like(codes[:, 0])


def side_by_side(parts: Sequence[DecodeState]) -> tuple[SamplingParams, Tensor, Tensor, Tensor | None]:
    """``params``, ``codes``, ``accepted`` and ``noise`` of frames that are drawn by the same parameters, in one."""
    noises = [part.noise for part in parts if part.noise is not None]
    codes, accepted = (torch.cat([getattr(part, name) for part in parts]) for name in ("codes", "accepted"))
    return parts[0].params, codes, accepted, torch.cat(noises) if noises else None


def draw(
    drawing: DecodeState,
    find_pass: Callable[[int], Pass],
    num_codes: int,
    tokens_per_pass: Sequence[int],
    sync_every: int = 1,
) -> int:
    """Run passes until all ``num_codes`` codes of every story are final; returns how many were launched.

    ``find_pass(window)`` gives the pass of that many positions, ``tokens_per_pass`` are the choices. The accepted
    counts are read back from the device after each ``sync_every`` of passes, of which those after the end change
    nothing. With a window of one the number of passes is known, and nothing is read back.
    """
    if tuple(tokens_per_pass) == SEQUENTIAL:
        for _ in range(num_codes - 1):
            drawing.run(find_pass(1))
        return num_codes - 1
    passes, left = 0, num_codes - 1
    while left > 0:
        launched = min(sync_every, left)  # each accepts one code at least
        for _ in range(launched):
            drawing.run(find_pass(fitting(tokens_per_pass, left)))
        passes += launched
        accepted = drawing.accepted.tolist()
        left = num_codes - min(accepted)
        stories = last_ones(accepted, len(accepted) // 2, num_codes)
        if left > 0 and stories:
            part = drawing.part(stories)
            passes += draw(part, find_pass, num_codes, tokens_per_pass, sync_every)
            drawing.join(part, stories)
            left = 0
    return passes


def advance(
    drawing: DecodeState,
    find_pass: Callable[[int], Pass],
    num_codes: int,
    tokens_per_pass: Sequence[int],
    sync_every: int,
    max_passes: int | None,
) -> list[bool]:
    """Run up to ``max_passes`` passes (None: as many as it takes) -> for each story, whether its codes are final.

    As :func:`draw`; where one code is drawn a pass, the counts are read back at the end alone.
    """
    if max_passes is None:
        draw(drawing, find_pass, num_codes, tokens_per_pass, sync_every)
        return [True] * len(drawing.accepted)
    budget, left = max_passes, num_codes - min(drawing.accepted.tolist())
    while budget > 0 and left > 0:
        launched = min(budget, left if tuple(tokens_per_pass) == SEQUENTIAL else min(sync_every, left))
        for _ in range(launched):
            drawing.run(find_pass(fitting(tokens_per_pass, left)))
        budget, left = budget - launched, num_codes - min(drawing.accepted.tolist())
    return [count >= num_codes for count in drawing.accepted.tolist()]


def fitting(tokens_per_pass: Sequence[int], left: int) -> int:
    """The smallest window that holds all that is ``left``, or else the largest: (64, 16, 4), 11 -> 16.

    Worth it because what a pass computes of positions after the frame's end is thrown away.
    """
    return min((window for window in tokens_per_pass if window >= left), default=max(tokens_per_pass))


def last_ones(accepted: Sequence[int], size: int, num_codes: int) -> list[int]:
    """The ``size`` stories that have come least far, if these are all that are unfinished; else none."""
    if sum(count < num_codes for count in accepted) > size:
        return []
    order = sorted(range(len(accepted)), key=lambda story: accepted[story])
    return sorted(order[:size])
