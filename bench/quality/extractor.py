"""The rows that networks give for frames, texts and clips, each computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from ...engine.utils.out_of_memory import is_out_of_memory
from ...engine.utils.to_one_line import one_line
from .items import Item
from .network import Compute, Network, weights_of
from .progress import Progress
from .row_cache import RowCache
from .sets.frame_reader import FrameReader


@contextmanager
def memory_in_one_line(network: Network) -> Iterator[None]:
    """Memory that runs out within is a ``ValueError``."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ValueError(f"{network.name} ran out of memory; choose --device cpu, or another machine") from None


class Extractor:
    """Rows of items by networks, of which one at a time is in memory; rows come from the cache where they are.

    Items are computed in batches that depend on their list alone, so that a resumed run repeats each batch whole and
    rounds as an uninterrupted one.
    """

    def __init__(self, cache: RowCache, device: torch.device, progress: Progress) -> None:
        self.cache, self.device, self.progress = cache, device, progress
        self._loaded: tuple[str, Compute] | None = None
        self._digests: dict[str, str] = {}

    def rows(self, network: Network, items: Sequence[Item]) -> NDArray[np.float32]:
        """One row an item, ``[n, D]``; ``ValueError`` names the network that gave a number that is not finite."""
        digest = self._digest(network)
        keys = [item.key for item in items]
        unique = dict(zip(keys, items, strict=True))
        found = self.cache.get(digest, list(unique))
        if len(found) < len(unique):
            self._compute(network, digest, unique, found)
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, 0), np.float32)

    def _compute(
        self, network: Network, digest: str, items: Mapping[str, Item], found: dict[str, NDArray[np.float32]]
    ) -> None:
        names, read = list(items), FrameReader()
        compute = self._load(network, digest)
        with self.progress.task(network.name, len(items), len(found)) as done, torch.inference_mode():
            for start in range(0, len(names), network.batch):
                batch = names[start : start + network.batch]
                missing = [name for name in batch if name not in found]
                if not missing:
                    continue
                with memory_in_one_line(network):
                    rows = compute([items[name].load(read) for name in batch])
                if not np.isfinite(rows).all():
                    raise ValueError(f"{network.name} gave a number that is not finite, for one of {len(batch)} inputs")
                new = {name: row for name, row in zip(batch, rows, strict=True) if name not in found}
                self.cache.put(digest, new)
                found |= new
                done(len(new))

    def _load(self, network: Network, digest: str) -> Compute:
        if self._loaded is None or self._loaded[0] != digest:
            self._loaded = None  # frees the memory before the next one needs it
            self._loaded = (digest, network.load(self.device))
        return self._loaded[1]

    def _digest(self, network: Network) -> str:
        named = f"{network.name}\n{network.preprocessing}"
        if named not in self._digests:
            weights = sorted(weights_of(network).items())
            self._digests[named] = hashlib.sha256(one_line(f"{named} {weights}").encode()).hexdigest()
        return self._digests[named]
