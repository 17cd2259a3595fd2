"""Segments of a Show-o row enter the model one after another: a text causally, a frame with all its slots at once.

A segment sees everything before it, and itself as its kind says. With 3 owned slots and a segment of 3 ids, queries
(rows) see

    text    slots 0 1 2   new a . .          frame   slots 0 1 2   new a b c
            slots 0 1 2   new a b .                  slots 0 1 2   new a b c
            slots 0 1 2   new a b c                  slots 0 1 2   new a b c

Earlier segments never see later ones, so their keys and values are final. For one prompt and one frame that is the
published mask once its pads are dropped: rotary embedding depends on distances only, and nothing sees a pad.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..read_cache import EmptyCache, ReadCache
from .model import ShowO


class SegmentCache(ReadCache):
    """Buffers [layers, R, H, S, head_dim], of which row r owns its first ``lengths[r]`` slots; they are only read."""

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor, causal: bool) -> None:
        super().__init__(keys, values, lengths)
        self.causal = causal

    def positions(self, new: int) -> Tensor:
        """int64 [R, new]: after each row's own slots."""
        return self.lengths[:, None] + torch.arange(new, device=self.lengths.device)

    def mask(self, positions: Tensor) -> Tensor:
        """True = may be attended: bool [R, 1, new, S + new], the slots before the new ids. The queries of a frame all
        see the same, so they share one row of memory."""
        rows, new = positions.shape
        slots, order = (torch.arange(size, device=positions.device) for size in (self.keys.shape[3], new))
        owned = slots < self.lengths[:, None, None]  # [R, 1, S]
        own = order <= order[:, None] if self.causal else order[None] >= 0  # [new or 1, new]
        visible = torch.cat((owned.expand(rows, len(own), -1), own.expand(rows, -1, -1)), 2)
        return visible[:, None].expand(-1, -1, new, -1)


class FeedPass(nn.Module):
    """The keys and values of a segment, as a function of tensors."""

    STATIC_INPUTS = (1, 2)  # keys and values: a captured graph reads them where they lie

    def __init__(self, model: ShowO, causal: bool) -> None:
        super().__init__()
        self.model, self.causal = model, causal

    def forward(self, ids: Tensor, *held: Tensor) -> tuple[Tensor, Tensor]:
        """``ids`` int64 [R, T] after ``held``: the keys, values and lengths of a cache, or nothing, which only
        a text can follow -> new keys and values [layers, R, H, T, head_dim]. A text may be padded on the
        right."""
        assert held or self.causal, "a caption comes before a frame"
        cache = EmptyCache(ids.device)
        if held:
            keys, values, lengths = held
            cache = SegmentCache(keys, values, lengths, self.causal)
        self.model(ids, cache)
        return cache.collected()
