"""Known ids enter the ARM in one pass: the logits after the last of them, and what belongs into the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import SDPA
from ..kv_cache import KVCache, bucket
from ..read_cache import EmptyCache, ReadCache
from .decoder import Decoder


class Prefill(nn.Module):
    """Text and image ids of every row, as a function of tensors."""

    STATIC_INPUTS = (3, 4)  # keys and values: a captured graph reads them where they lie

    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, is_vision: Tensor, counts: Tensor, *held: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``ids`` int64 and ``is_vision`` bool [R, T], of which row r's first ``counts[r]`` are real, after what is
        ``held``: the keys, values and lengths of a cache, or nothing -> logits [R, vision_vocab] after each row's last
        id, and the new keys and values [layers, R, H, T, head_dim]."""
        cache, backend = (ReadCache(*held), self.model.read_backend) if held else (EmptyCache(ids.device), SDPA)
        hidden = self.model(ids, is_vision, cache, backend=backend)
        last = (counts - 1)[:, None, None].expand(-1, 1, hidden.shape[-1])
        return self.model.vision_logits(hidden.gather(1, last)[:, 0]), *cache.collected()


class PaddedPrefill:
    """``run``, a :class:`Prefill` or what a backend made of it, with the signature of ``CausalRunner.prefill``."""

    def __init__(self, run: Callable[..., tuple[Tensor, Tensor, Tensor]], limit: int) -> None:
        """``limit`` is the number of the model's positions."""
        self.run, self.limit = run, limit

    def __call__(self, ids: Tensor, is_vision: Tensor, counts: Sequence[int], cache: KVCache) -> Tensor:
        """``ids`` [R, T] -> logits [R, V]; padded to a multiple of 128 ids, so that one plan serves many lengths."""
        width = ids.shape[1]
        padding = bucket(width, self.limit) - width
        ids, is_vision = (F.pad(value, (0, padding)) for value in (ids, is_vision))
        real = torch.tensor(counts).to(ids.device)
        held = (cache.keys, cache.values, cache.lengths) if any(cache.owned) else ()
        logits, keys, values = self.run(ids, is_vision, real, *held)
        cache.positions(width)  # refuses what does not fit
        cache.put(keys[:, :, :, :width], values[:, :, :, :width])
        cache.advance(counts)
        return logits
