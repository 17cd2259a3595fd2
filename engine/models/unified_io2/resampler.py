"""A few vectors of an earlier frame: learned queries attend to its patches, twice (Perceiver, arXiv 2103.03206)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.norms import RMSNorm
from .config import ResamplerConfig

NORM_EPS = 1e-6
MOST_SCALE = math.log(100.0)


class LatentAttention(nn.Module):
    """Attention of latents to a context. ``scaled_cosine`` multiplies the cosines of queries and keys by exp(scale) of
    the head; else both are normed, and nothing rotates."""

    def __init__(self, config: ResamplerConfig) -> None:
        super().__init__()
        self.heads, inner = config.heads, config.heads * config.head_dim
        self.query = nn.Linear(config.width, inner, bias=False)
        self.key = nn.Linear(config.width, inner, bias=False)
        self.value = nn.Linear(config.width, inner, bias=False)
        self.out = nn.Linear(inner, config.width, bias=False)
        self.scaled_cosine = config.scaled_cosine
        if config.scaled_cosine:
            self.logit_scale = nn.Parameter(torch.empty(config.heads))
        else:
            self.query_norm = RMSNorm(config.head_dim, NORM_EPS)
            self.key_norm = RMSNorm(config.head_dim, NORM_EPS)

    def forward(self, latents: Tensor, context: Tensor) -> Tensor:
        """[B, n, width], [B, T, width] -> [B, n, width]."""
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1))
            for layer, x in ((self.query, latents), (self.key, context), (self.value, context))
        )
        if self.scaled_cosine:
            scale = self.logit_scale.clamp(max=MOST_SCALE).exp()[:, None]
            q, k = F.normalize(q, dim=-1) * scale, F.normalize(k, dim=-1)
            attended = _attend(q, k, v, scale=1.0)
        else:
            attended = _attend(self.query_norm(q), self.key_norm(k), v)
        out: Tensor = self.out(attended)
        return out


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """[B, n, H, d] -> [B, n, H d]."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2).flatten(2)


class LatentMLP(nn.Module):
    """wo(gelu(wi x)), with the exact GELU."""

    def __init__(self, config: ResamplerConfig) -> None:
        super().__init__()
        self.wi = nn.Linear(config.width, config.mlp, bias=False)
        self.wo = nn.Linear(config.mlp, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.wo(F.gelu(self.wi(x)))
        return out


class LatentLayer(nn.Module):
    """One pre-norm layer; the context is normed before the first."""

    def __init__(self, config: ResamplerConfig) -> None:
        super().__init__()
        self.pre_xattention_norm = RMSNorm(config.width, NORM_EPS)
        self.xattention = LatentAttention(config)
        self.pre_mlp_norm = RMSNorm(config.width, NORM_EPS)
        self.mlp = LatentMLP(config)

    def forward(self, latents: Tensor, context: Tensor) -> Tensor:
        latents = latents + self.xattention(self.pre_xattention_norm(latents), context)
        out: Tensor = latents + self.mlp(self.pre_mlp_norm(latents))
        return out


class Resampler(nn.Module):
    """Patches of a frame to ``latents`` vectors."""

    def __init__(self, config: ResamplerConfig) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(config.latents, config.width))
        self.layers = nn.ModuleList(LatentLayer(config) for _ in range(config.layers))
        self.context_norm = RMSNorm(config.width, NORM_EPS)
        self.perceiver_norm = RMSNorm(config.width, NORM_EPS)

    def forward(self, patches: Tensor) -> Tensor:
        """[B, T, width] -> [B, latents, width]."""
        latents, context = self.latents.expand(len(patches), -1, -1), self.context_norm(patches)
        for layer in self.layers:
            latents = layer(latents, context)
        out: Tensor = self.perceiver_norm(latents)
        return out
