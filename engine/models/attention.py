"""Attention backends: what computes softmax(q kᵀ / sqrt(d)) v over the keys and values that a cache hands out.

A cache stores and hands out (``kv_cache.py``, ``read_cache.py``); a backend computes, and keeps no state. All give the
same result up to the order of sums:

    SDPA      PyTorch's scaled_dot_product_attention, over the parts of a view joined
    PRODUCTS  two matrix products a part, which joins no keys or values
    TRITON    our kernel, which reads the owned slots only
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.decode_attention import decode_attention
from .layers.rotary import Rotary


class KVView(NamedTuple):
    """A layer's keys and values, [R, H, S_i, head_dim] a part; the mask's S slots are those of all parts in order.

    Where there are two parts, the first holds slots of which row r owns its first ``lengths[r]``, and the second the
    new tokens.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    lengths: Tensor | None = None


class Cache(Protocol):
    """A cache in a transformer's pass: it stores, and hands out views. Attention is a backend's."""

    is_causal: bool  # a query sees the new tokens up to itself and nothing else, so that no mask is needed

    def positions(self, new: int) -> Tensor:
        """The slots of ``new`` tokens: int64 [R, new], or [1, new] where they are the same in all rows."""
        ...

    def mask(self, positions: Tensor) -> Tensor:
        """Which of a view's S slots the queries at ``positions`` may attend to: bool [R, 1, new, S], True = may be
        attended, as in SDPA. R is that of ``positions``. Whatever the cache, a query may attend to itself."""
        ...

    def store(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> KVView:
        """Keep a layer's new keys and values [R, H, new, head_dim] -> what there is to attend to, these included."""
        ...

    def advance(self, counts: Sequence[int]) -> None:
        """Row r keeps its next ``counts[r]`` slots."""
        ...


class AttentionBackend(Protocol):
    """Computes attention; knows no cache and no model."""

    needs_mask: bool

    def __call__(self, q: Tensor, view: KVView, mask: Tensor | None) -> Tensor:
        """``q`` [R, H, new, head_dim] -> the same shape. The view has as many heads, or fewer that groups of queries
        share (which our kernel does not take). ``mask`` as :meth:`Cache.mask` has it, None where the pass is plainly
        causal or the backend needs none."""
        ...


class SdpaAttention:
    """PyTorch's own, over joined parts."""

    needs_mask = True

    def __call__(self, q: Tensor, view: KVView, mask: Tensor | None) -> Tensor:
        keys, values = (parts[0] if len(parts) == 1 else torch.cat(parts, 2) for parts in (view.keys, view.values))
        if mask is not None and mask.stride(2) == 0:  # one row for all queries: SDPA would write it out for each
            mask = mask[:, :, :1]
        if (groups := q.shape[1] // keys.shape[1]) > 1:
            keys, values = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, is_causal=mask is None)


class ProductAttention:
    """Keys times queries, not queries times keys: a compiler may copy what it transposes, and queries are few. The
    slots of a cache are read where they lie."""

    needs_mask = True

    def __call__(self, q: Tensor, view: KVView, mask: Tensor | None) -> Tensor:
        assert mask is not None, "a causal pass without a cache is SDPA's"
        groups = q.shape[1] // view.keys[0].shape[1]
        if groups > 1:  # queries that share keys lie side by side, as further queries of one head
            q, mask = q.unflatten(1, (-1, groups)).flatten(2, 3), mask.repeat(1, 1, groups, 1)
        q = (q * q.shape[-1] ** -0.5).transpose(-1, -2)
        scores = torch.cat([keys @ q for keys in view.keys], -2)  # [R, H, S, new]
        weights = scores.masked_fill(mask.logical_not().transpose(-1, -2), -torch.inf).softmax(-2)
        shares = weights.split([keys.shape[2] for keys in view.keys], -2)
        attended = [share.transpose(-1, -2) @ values for share, values in zip(shares, view.values, strict=True)]
        found = attended[0] if len(attended) == 1 else attended[0] + attended[1]
        return found if groups == 1 else found.unflatten(2, (groups, -1)).flatten(1, 2)


class TritonAttention:
    """Our kernel, which knows by the lengths what it may read."""

    needs_mask = False

    def __call__(self, q: Tensor, view: KVView, mask: Tensor | None) -> Tensor:
        assert view.lengths is not None, "the kernel reads a cache with lengths"
        (keys, new_keys), (values, new_values) = view.keys, view.values
        return decode_attention(q, keys, values, view.lengths, new_keys, new_values)


SDPA, PRODUCTS, TRITON = SdpaAttention(), ProductAttention(), TritonAttention()


@dataclass(frozen=True)
class AttentionMetadata:
    """Positions of a pass in the stream, its mask, and its attention backend: the same for all layers."""

    positions: Tensor  # [R, T], or [1, T] where they are the same in all rows
    cos: Tensor  # [R or 1, 1, T, rotated part of head_dim]
    sin: Tensor
    rope: Rotary
    cache: Cache | None  # None: the new tokens alone, in one causal pass from position 0
    mask: Tensor | None  # as ``Cache.mask`` has it; None where the backend needs none
    backend: AttentionBackend

    @classmethod
    def of(cls, positions: Tensor, rope: Rotary, cache: Cache | None, backend: AttentionBackend) -> AttentionMetadata:
        """For a pass over ``cache`` at its ``positions``."""
        masked = cache is not None and backend.needs_mask and not cache.is_causal
        mask = cache.mask(positions) if cache is not None and masked else None
        cos, sin = rope(positions)
        return cls(positions, cos, sin, rope, cache, mask, backend)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of the new tokens, all [R, H, T, head_dim], whose keys and values the cache keeps."""
        view = KVView((k,), (v,)) if self.cache is None else self.cache.store(layer, k, v, self.positions)
        return self.backend(q, view, self.mask)
