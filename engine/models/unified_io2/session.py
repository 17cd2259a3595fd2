"""A frame of every story in Unified-IO 2, from the encoder's pass to the last code.

Rows are (branch, story): first the conditional branch of every story, then, with guidance, the null branch, which reads
the published prompt for no picture in particular, and the same frames. Nothing of a frame's caches serves the next one:

    encoder            sees in both directions, so one new token changes all of its states
    cross-attention    keys and values of these states, computed once a frame
    decoder            from its second layer on depends on them, so its cache begins again
    vectors of frames  depend on their own pixels alone: kept with the story (``batch.py``), computed once as the last
                       frame and once as an earlier one
    null, no frames    the same for all stories: computed once a model
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...sampling import SamplingParams
from ..checks import check_guided
from ..decode import DecodeState, begun
from ..decode_pass import first_guesses, pass_noise
from ..kv_cache import KVCache, bucket
from .runner import Read, UnifiedIO2Runner


@dataclass
class CrossDecodeState(DecodeState):
    """A frame of every story with the encoder's keys and values, which its passes attend to."""

    read: KVCache

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Arguments of a pass but for the noise."""
        return *super().inputs, self.read.lengths, self.read.keys, self.read.values

    def part(self, stories: Sequence[int]) -> CrossDecodeState:
        """A copy of these stories."""
        part, read = super().part(stories), self.read.fork(self._rows(list(stories)))
        return CrossDecodeState(part.params, part.codes, part.accepted, part.noise, part.cache, read)

    def join(self, part: DecodeState, stories: Sequence[int]) -> None:
        """Take back what :meth:`part` gave away; the encoder's states are still here."""
        super().join(part, stories)
        assert isinstance(part, CrossDecodeState), "a part of this frame"
        part.read.release()

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from super().tensors()
        yield from self.read.tensors()


class Caches(NamedTuple):
    """Keys and values of the codes that are drawn, and of the encoder's states."""

    drawn: KVCache
    read: KVCache


class UnifiedIO2Session:
    """B stories, each at a frame of its own. Life: ``begin``, ``start``, passes, ``close``."""

    def __init__(self, arm: UnifiedIO2Runner, stories: int, guided: bool) -> None:
        """``guided`` keeps the null branch for guidance_scale != 1."""
        self.arm, self.stories, self.branches = arm, stories, 2 if guided else 1
        self.caches: Caches | None = None
        self.last_logits: Tensor | None = None  # [R, codes] of the first code
        self.frame: CrossDecodeState | None = None

    @property
    def rows(self) -> int:
        """Rows of the caches."""
        return self.stories * self.branches

    @torch.no_grad()
    def begin(self, inputs: Sequence[Read | None]) -> None:
        """The encoder reads one input a row (None: the null prompt alone), and the decoder its beginning."""
        found = self.arm.prefill(inputs)
        caches = self.reserve(max(found.counts))
        caches.read.put(*found.read)
        caches.read.advance(found.counts)
        caches.drawn.put(*found.begun)
        caches.drawn.advance([1] * self.rows)
        self.last_logits = found.logits

    def reserve(self, tokens: int) -> Caches:
        """Caches for up to ``tokens`` states of the encoder."""
        model, slots = self.arm.model, bucket(tokens, self.arm.model.config.most_read)
        self.caches = Caches(model.new_cache(self.rows), model.new_cache(self.rows, slots))
        return self.caches

    @torch.no_grad()
    def start(self, params: SamplingParams, keys: Tensor, guesses: Tensor | None, window: int) -> None:
        """First codes, noise, and guesses for the other codes (those given, or what the first code's logits say), for
        up to ``window`` codes in a pass. ``ValueError`` for guidance without a null branch."""
        assert self.last_logits is not None, "begin() comes before start()"
        assert self.caches is not None, "begin() comes before start()"
        check_guided(params, self.branches)
        config, model = self.arm.model.config, self.arm.model
        params = replace(params, allowed=params.allowed or (0, config.codebook_size))
        n = config.codes_per_frame
        noise = pass_noise(params, keys, n, config.codebook_size, model.use_triton)
        first = first_guesses(self.last_logits, params, keys, noise, guesses, n, window, model.use_triton)
        self.frame = CrossDecodeState(params, *begun(first, window), noise, *self.caches)
        self.last_logits = None

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that the stories hold in it."""
        for cache in self.caches or ():
            yield from cache.tensors()
        if self.last_logits is not None:
            yield self.last_logits
        if self.frame is not None:
            yield from self.frame.tensors()

    def close(self) -> None:
        """The stories have left: the caches' buffers serve the next ones."""
        for cache in self.caches or ():
            cache.release()
        self.caches = None
