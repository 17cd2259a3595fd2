"""LWM's transformer: one causal stream of text and image tokens (Large World Model, arXiv 2402.08268).

A LLaMA-style decoder with two embedding tables and two heads. A position is either a *text* position (``wte``,
``lm_head``; ``<vision>`` is text) or a *vision* position (``vte``, ``vision_head``; codes and the end-of-frame id).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ....kernels.gated import swiglu, swiglu_reference
from ....kernels.qk_norm_rope_kv import qk_norm_rope_kv
from ..attention import PRODUCTS, SDPA, TRITON, AttentionBackend, AttentionMetadata, Cache
from ..fields import check_fields
from ..kv_buffers import Buffers
from ..kv_cache import KVCache
from ..layers.fused import Fused
from ..layers.norms import RMSNorm
from ..layers.rotary import Rotary, rotate


@dataclass(frozen=True)
class LWMConfig:
    """Sizes of the transformer; the defaults that are given are those of the published vision models."""

    layers: int
    hidden: int
    ffn: int
    heads: int
    text_vocab: int
    vision_vocab: int
    norm_eps: float = 1e-6
    rope_theta: float = 5e7
    max_position: int = 32768

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden {self.hidden} is not an even multiple of heads {self.heads}")

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LWMConfig:
        """Reads the fields by name. Raises ``ValueError`` for a missing or an unknown one."""
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise ValueError(f"unknown transformer setting {name!r}; choose from {', '.join(names)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"incomplete transformer config: {str(error).partition(' ')[2]}") from None


class Attention(nn.Module):
    """Causal multi-head attention without biases."""

    def __init__(self, config: LWMConfig) -> None:
        super().__init__()
        self.heads, self.use_triton = config.heads, False
        self.wq = nn.Linear(config.hidden, config.hidden, bias=False)
        self.wk = nn.Linear(config.hidden, config.hidden, bias=False)
        self.wv = nn.Linear(config.hidden, config.hidden, bias=False)
        self.wo = nn.Linear(config.hidden, config.hidden, bias=False)
        self.fused: Fused | None = None

    def fuse(self) -> None:
        """Queries, keys and values from one product."""
        self.fused = Fused(self.wq, self.wk, self.wv)

    def enable_triton(self) -> None:
        """Rotate by our kernel."""
        self.use_triton = True

    def forward(self, x: Tensor, place: AttentionMetadata, layer: int) -> Tensor:
        parts = (self.wq(x), self.wk(x), self.wv(x)) if self.fused is None else self.fused(x)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)  # [R, H, T, head_dim]
        if self.use_triton:
            q, k, v = _rotate_by_kernel(q, k, v, place)
        else:
            q, k = rotate(q, place.cos, place.sin), rotate(k, place.cos, place.sin)
        out = place.attend(layer, q, k, v)
        return self.wo(out.transpose(1, 2).flatten(2))


def _rotate_by_kernel(q: Tensor, k: Tensor, v: Tensor, place: AttentionMetadata) -> tuple[Tensor, Tensor, Tensor]:
    """q and k rotated by our kernel; all [R, H, T, head_dim], each in memory of its own."""
    keys, values = (torch.empty(k.shape, dtype=k.dtype, device=k.device) for _ in range(2))
    tables = (place.rope.cos, place.rope.sin, place.positions.expand(len(q), -1), keys, values)
    return qk_norm_rope_kv(q, k, v, *tables, apart=True), keys, values


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, config: LWMConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden, config.ffn, bias=False)
        self.w2 = nn.Linear(config.ffn, config.hidden, bias=False)
        self.w3 = nn.Linear(config.hidden, config.ffn, bias=False)
        self.fused: Fused | None = None
        self.gated: Callable[[Tensor, Tensor], Tensor] = swiglu_reference

    def fuse(self) -> None:
        """Gate and value from one product."""
        self.fused = Fused(self.w1, self.w3)

    def enable_triton(self) -> None:
        """Gate by our kernel."""
        self.gated = swiglu

    def forward(self, x: Tensor) -> Tensor:
        gate, value = (self.w1(x), self.w3(x)) if self.fused is None else self.fused(x)
        return self.w2(self.gated(gate, value))


class Block(nn.Module):
    """One pre-norm layer."""

    def __init__(self, config: LWMConfig) -> None:
        super().__init__()
        self.attention, self.feed_forward = Attention(config), FeedForward(config)
        self.attention_norm = RMSNorm(config.hidden, config.norm_eps)
        self.ffn_norm = RMSNorm(config.hidden, config.norm_eps)

    def forward(self, x: Tensor, place: AttentionMetadata, layer: int) -> Tensor:
        x = x + self.attention(self.attention_norm(x), place, layer)
        return x + self.feed_forward(self.ffn_norm(x))


class LWM(nn.Module):
    """The transformer. Knows no sampling, no text and no backend."""

    def __init__(self, config: LWMConfig) -> None:
        super().__init__()
        self.config, self.kv_buffers, self.use_triton = config, Buffers(), False
        self.wte = nn.Embedding(config.text_vocab, config.hidden)
        self.vte = nn.Embedding(config.vision_vocab, config.hidden)
        self.rope = Rotary(config.head_dim, config.max_position, config.rope_theta)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = RMSNorm(config.hidden, config.norm_eps)
        self.lm_head = nn.Linear(config.hidden, config.text_vocab, bias=False)
        self.vision_head = nn.Linear(config.hidden, config.vision_vocab, bias=False)

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
        text, vision = ids.masked_fill(is_vision, 0), ids.masked_fill(~is_vision, 0)
        x = torch.where(is_vision[..., None], self.vte(vision), self.wte(text))
        new = ids.shape[1]
        positions = torch.arange(new, device=ids.device)[None] if cache is None else cache.positions(new)
        place = AttentionMetadata.of(positions, self.rope, cache, backend)
        for layer, block in enumerate(self.blocks):
            x = block(x, place, layer)
        if cache is not None:
            cache.advance(counts if counts is not None else [ids.shape[1]] * ids.shape[0])
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
        return _wide(self.vision_head(hidden))

    def text_logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., text_vocab], float32 (float64 in a float64 model)."""
        return _wide(self.lm_head(hidden))

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache for ``rows`` streams of at most ``capacity`` tokens, in the weights' dtype and device."""
        if capacity > self.config.max_position:
            raise ValueError(f"{capacity} positions are needed, the model has {self.config.max_position}")
        config, like = self.config, self.vision_head.weight
        sizes = (config.layers, rows, config.heads, capacity, config.head_dim)
        return KVCache(*sizes, dtype=like.dtype, device=like.device, buffers=self.kv_buffers)


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
