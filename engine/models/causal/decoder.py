"""A causal transformer over text and vision ids, as the passes that draw run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..attention import PRODUCTS, SDPA, TRITON, AttentionBackend, AttentionMetadata, Cache
from ..fields import check_fields, read_fields
from ..kv_buffers import Buffers
from ..kv_cache import KVCache
from ..layers.llama import Block
from ..layers.norms import RMSNorm
from ..layers.rotary import Rotary


class DecoderConfig:
    """Sizes that the families' dataclasses share; vision ids are 0 to ``vision_vocab`` - 1."""

    NAME: ClassVar[str] = "transformer"  # in error messages
    layers: int
    hidden: int
    ffn: int
    heads: int
    text_vocab: int
    vision_vocab: int
    norm_eps: float
    rope_theta: float
    max_position: int

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden {self.hidden} is not an even multiple of heads {self.heads}")

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads the fields by name. Raises ``ValueError`` for a missing or an unknown one."""
        return read_fields(cls, values, cls.NAME)


class Decoder(nn.Module, ABC):
    """Embeddings, blocks, a norm and a head over the vision ids. Knows no sampling, no text and no backend."""

    vision_head: nn.Linear

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config, self.kv_buffers, self.use_triton = config, Buffers(), False

    def add_blocks(self, config: DecoderConfig) -> None:
        """Blocks and the norm after them. Families add their embeddings before and their heads after: a seed gives a
        model of random weights in this order."""
        self.rope = Rotary(config.head_dim, config.max_position, config.rope_theta)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = RMSNorm(config.hidden, config.norm_eps)

    @abstractmethod
    def embed(self, ids: Tensor, is_vision: Tensor) -> Tensor:
        """``ids`` int64 and ``is_vision`` bool, both [R, T] -> [R, T, D]."""

    def forward(
        self,
        ids: Tensor,
        is_vision: Tensor,
        cache: Cache | None = None,
        counts: Sequence[int] | None = None,
        backend: AttentionBackend = SDPA,
    ) -> Tensor:
        """``ids`` int64 [R, T], ``is_vision`` bool [R, T] -> hidden [R, T, D] after the final norm.

        With a cache, row r continues at its own length, and the cache grows by ``counts[r]`` (T where None): what
        lies right of ``counts[r]`` in a row is padding, its output is meaningless. Without a cache it is one
        causal pass from position 0; padding on the right needs no mask there either.
        """
        x, new = self.embed(ids, is_vision), ids.shape[1]
        positions = torch.arange(new, device=ids.device)[None] if cache is None else cache.positions(new)
        place = AttentionMetadata.of(positions, self.rope, cache, backend)
        for layer, block in enumerate(self.blocks):
            x = block(x, place, layer)
        if cache is not None:
            cache.advance(counts if counts is not None else [new] * ids.shape[0])
        return self.ln_f(x)

    @property
    def read_backend(self) -> AttentionBackend:
        """Attention backend of the passes that only read their cache."""
        return TRITON if self.use_triton else PRODUCTS

    def enable_triton(self) -> None:
        """Stages that draw attend by our kernel."""
        self.use_triton = True

    def vision_logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., vision_vocab], float32 (float64 in a float64 model)."""
        return widened(self.vision_head(hidden))

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache for ``rows`` streams of at most ``capacity`` tokens, in the weights' dtype and device."""
        if capacity > self.config.max_position:
            raise ValueError(f"{capacity} positions are needed, the model has {self.config.max_position}")
        config, like = self.config, self.vision_head.weight
        sizes = (config.layers, rows, config.kv_heads, capacity, config.head_dim)
        return KVCache(*sizes, dtype=like.dtype, device=like.device, buffers=self.kv_buffers)


def widened(logits: Tensor) -> Tensor:
    """float32 at least."""
    return logits if logits.dtype == torch.float64 else logits.float()
