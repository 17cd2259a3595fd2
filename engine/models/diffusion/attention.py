"""Attention of the Stable Diffusion family (arXiv 2112.10752, section 3.3), named as published weights name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from ....kernels.attention import Attend, sdpa
from ....kernels.gated import geglu, geglu_reference
from ..layers.fused import Fused
from ..layers.norms import GroupNorm

KV = tuple[Tensor, Tensor]  # keys and values, [B, H, S, D] each


class Attention(nn.Module):
    """Multi-head attention whose keys and values may have been computed earlier."""

    def __init__(
        self,
        channels: int,
        heads: int,
        context_dim: int | None = None,
        bias: bool = False,
        upcast: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.upcast, self.crossed = heads, upcast, context_dim is not None
        self.attend: Attend = sdpa
        self.to_q = nn.Linear(channels, channels, bias=bias)
        self.to_k = nn.Linear(context_dim or channels, channels, bias=bias)
        self.to_v = nn.Linear(context_dim or channels, channels, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.fused: Fused | None = None

    def fuse(self) -> None:
        """Self-attention's queries, keys and values from one product, where the weights have no biases."""
        if self.to_q.bias is None and not self.crossed:
            self.fused = Fused(self.to_q, self.to_k, self.to_v)

    def keys_values(self, context: Tensor) -> KV:
        """`context` [B, S, C] -> (keys, values), each [B, H, S, D]."""
        return self._split(self.to_k(context)), self._split(self.to_v(context))

    def forward(self, x: Tensor, kv: KV | None = None) -> Tensor:
        """`x` [B, T, C] attends to `kv`, or to itself; returns [B, T, C]."""
        if self.fused is not None and kv is None:
            q, k, v = (self._split(part) for part in self.fused(x))
        else:
            q = self._split(self.to_q(x))
            k, v = self.keys_values(x) if kv is None else kv
        # SD 2.x overflows fp16 in the product q k^T, hence the flag in its config.
        out = (
            self.attend(q.float(), k.float(), v.float()).to(v.dtype)
            if self.upcast and q.element_size() < 4
            else self.attend(q, k, v)
        )
        return self.to_out[0](out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, S, C] -> [B, H, S, D]


def set_attention(model: nn.Module, attend: Attend) -> None:
    """Let every attention of ``model`` be computed by ``attend``."""
    for module in model.modules():
        if isinstance(module, Attention):
            module.attend = attend


class GEGLU(nn.Module):
    """Gated linear unit with GELU (arXiv 2002.05202): [.., C] -> [.., inner]."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)
        self.gated: Callable[[Tensor, Tensor], Tensor] = geglu_reference

    def enable_triton(self) -> None:
        """Gate by our kernel."""
        self.gated = geglu

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return self.gated(value, gate)


class FeedForward(nn.Module):
    """GEGLU with four times the width; an Identity replaces the dropout of training, which counts in the numbers of the
    keys."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention to the prompt, feed-forward; layer norm before each."""

    def __init__(self, channels: int, heads: int, context_dim: int, upcast: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads, upcast=upcast)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads, context_dim, upcast=upcast)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, kv: KV, frames: int = 1) -> Tensor:
        """`x` [B, T, C] -> [frames * rows of `kv`, T, C]: branches that were one until they read their prompts part
        here. The `frames` of a clip follow one another in `x` and read the same row of `kv`: to a prompt, a clip is
        one picture of `frames * T` pixels.
        """
        x = x + self.attn1(self.norm1(x))
        x = for_branches(x, frames * len(kv[0]))
        queries = self.norm2(x).reshape(len(kv[0]), -1, x.shape[-1])
        x = x + self.attn2(queries, kv).reshape(x.shape)
        return x + self.ff(self.norm3(x))


class Transformer2D(nn.Module):
    """Transformer blocks over the pixels of a feature map, with a residual around the whole.

    `linear` projects tokens (SD 2.x); otherwise 1x1 convolutions project the map (SD 1.x).
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        context_dim: int,
        layers: int,
        groups: int,
        linear: bool,
        upcast: bool,
    ) -> None:
        super().__init__()
        self.linear = linear
        self.norm = GroupNorm(groups, channels, eps=1e-6, silu=False)
        self.proj_in = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(channels, heads, context_dim, upcast) for _ in range(layers)
        )
        self.proj_out = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, kv: Iterator[KV], frames: int = 1) -> Tensor:
        """`x` [B, C, h, w] -> [frames * rows of `kv`, C, h, w]; takes one entry of `kv` for each of its blocks."""
        h = self.norm(x)
        h = self.proj_in(_tokens(h)) if self.linear else _tokens(self.proj_in(h))
        for block in self.transformer_blocks:
            h = block(h, next(kv), frames)
        h = _map(self.proj_out(h), x) if self.linear else self.proj_out(_map(h, x))
        return for_branches(x, len(h)) + h


class AttentionBlock(Attention):
    """The VAE's single-head self-attention over a feature map [B, C, h, w], with its norm and residual."""

    def __init__(self, channels: int, groups: int, eps: float) -> None:
        super().__init__(channels, heads=1, bias=True)
        self.group_norm = GroupNorm(groups, channels, eps, silu=False)

    def forward(self, x: Tensor, kv: KV | None = None) -> Tensor:
        return x + _map(super().forward(_tokens(self.group_norm(x)), kv), x)


def for_branches(x: Tensor, rows: int) -> Tensor:
    """`x` [B, ...] once for each of the branches that have shared it so far: [rows, ...]."""
    return x if len(x) == rows else x.repeat(rows // len(x), *[1] * (x.ndim - 1))


def _tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)  # [B, C, h, w] -> [B, h*w, C]


def _map(tokens: Tensor, like: Tensor) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, like.shape[2:])  # [B, h*w, C] -> [B, C, h, w]
