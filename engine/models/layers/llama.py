"""Layers of a LLaMA decoder (arXiv 2302.13971): pre-norm blocks of rotary attention and SwiGLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from ....kernels.gated import swiglu, swiglu_reference
from ....kernels.qk_norm_rope_kv import qk_norm_rope_kv
from ..attention import AttentionMetadata
from .fused import Fused
from .norms import RMSNorm
from .rotary import rotate


class DecoderSizes(Protocol):
    """Sizes of a block; ``kv_heads`` divides ``heads``."""

    @property
    def hidden(self) -> int: ...

    @property
    def ffn(self) -> int: ...

    @property
    def heads(self) -> int: ...

    @property
    def kv_heads(self) -> int: ...

    @property
    def norm_eps(self) -> float: ...


class Attention(nn.Module):
    """Causal multi-head attention without biases; fewer heads of keys than of queries share them (arXiv 2305.13245)."""

    def __init__(self, config: DecoderSizes) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.use_triton = config.heads, config.kv_heads, False
        shared = config.hidden // config.heads * config.kv_heads
        self.wq = nn.Linear(config.hidden, config.hidden, bias=False)
        self.wk = nn.Linear(config.hidden, shared, bias=False)
        self.wv = nn.Linear(config.hidden, shared, bias=False)
        self.wo = nn.Linear(config.hidden, config.hidden, bias=False)
        self.fused: Fused | None = None

    def fuse(self) -> None:
        """Queries, keys and values from one product."""
        self.fused = Fused(self.wq, self.wk, self.wv)

    def enable_triton(self) -> None:
        """Rotate by our kernel, which takes as many heads of keys as of queries."""
        self.use_triton = self.kv_heads == self.heads

    def forward(self, x: Tensor, place: AttentionMetadata, layer: int) -> Tensor:
        parts = (self.wq(x), self.wk(x), self.wv(x)) if self.fused is None else self.fused(x)
        heads = (self.heads, self.kv_heads, self.kv_heads)
        q, k, v = (  # [R, H, T, head_dim]
            part.unflatten(-1, (count, -1)).transpose(1, 2) for part, count in zip(parts, heads, strict=True)
        )
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

    def __init__(self, config: DecoderSizes) -> None:
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

    def __init__(self, config: DecoderSizes) -> None:
        super().__init__()
        self.attention, self.feed_forward = Attention(config), FeedForward(config)
        self.attention_norm = RMSNorm(config.hidden, config.norm_eps)
        self.ffn_norm = RMSNorm(config.hidden, config.norm_eps)

    def forward(self, x: Tensor, place: AttentionMetadata, layer: int) -> Tensor:
        x = x + self.attention(self.attention_norm(x), place, layer)
        return x + self.feed_forward(self.ffn_norm(x))
