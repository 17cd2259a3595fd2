"""Keys and values of finished blocks, which noisy tokens attend to besides their own.

They depend on latents and places alone: neither on the timestep nor on the class, so both branches of guidance read one
copy. Requests are at different blocks, so they are grouped by the number of their cached tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..kv_cache import KVCache


class Group(NamedTuple):
    """Requests with equally many cached tokens S: their places in the batch, and [layers, r, H, S, 64] of each."""

    places: list[int]
    keys: Tensor
    values: Tensor


class CleanContext:
    """The finished blocks of a batch's requests, before the block that is computed. It reads the cache where it lies
    where a group is one request, so that no cache may grow while it is used."""

    def __init__(self, caches: Sequence[KVCache]) -> None:
        by_length: dict[int, list[int]] = {}
        for place, cache in enumerate(caches):
            by_length.setdefault(cache.owned[0], []).append(place)
        self.rows, self.groups = len(caches), []
        for length, places in by_length.items():
            keys = [caches[place].keys[:, :, :, :length] for place in places]
            values = [caches[place].values[:, :, :, :length] for place in places]
            self.groups.append(Group(places, _joined(keys), _joined(values)))

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of a batch's new tokens to the finished blocks and to each other: [branches x requests, H, T, 64]
        each, branches before requests."""
        if len(self.groups) == 1:
            return _attend(self.groups[0], layer, q, k, v, self.rows)
        branches, attended = len(q) // self.rows, torch.empty_like(q)
        into = attended.unflatten(0, (branches, self.rows))
        for group in self.groups:
            own, own_k, own_v = (
                x.unflatten(0, (branches, self.rows))[:, group.places].flatten(0, 1) for x in (q, k, v)
            )
            found = _attend(group, layer, own, own_k, own_v, len(group.places))
            into[:, group.places] = found.unflatten(0, (branches, len(group.places)))
        return attended


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), 1)


def _attend(group: Group, layer: int, q: Tensor, k: Tensor, v: Tensor, requests: int) -> Tensor:
    if group.keys.shape[3]:
        branches = len(q) // requests
        k, v = (
            torch.cat((clean[layer].repeat(branches, 1, 1, 1) if branches > 1 else clean[layer], new), 2)
            for clean, new in ((group.keys, k), (group.values, v))
        )
    return F.scaled_dot_product_attention(q, k, v)
