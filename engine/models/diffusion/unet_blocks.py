"""The levels of the UNet: down, middle, up; each with or without cross-attention.

Each has room for motion modules, which couple the `frames` of a clip (motion_unet.py, video_unet.py); a UNet of
pictures has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import KV, Transformer2D, for_branches
from .blocks import Downsample, ResnetBlock, Upsample


@dataclass(frozen=True)
class Common:
    """Parts that all levels share."""

    temb_dim: int
    groups: int
    eps: float
    context_dim: int
    transformer_layers: int
    linear: bool
    upcast: bool

    def resnet(self, in_channels: int, out_channels: int) -> ResnetBlock:
        return ResnetBlock(in_channels, out_channels, self.groups, self.eps, self.temb_dim)

    def transformer(self, channels: int, heads: int) -> Transformer2D:
        return Transformer2D(
            channels, heads, self.context_dim, self.transformer_layers, self.groups, self.linear, self.upcast
        )


class TimeEmbedding(nn.Module):
    """Sinusoids of the timestep (arXiv 1706.03762) through a two-layer network.

    A network distilled with its guidance adds a projection of the scale's sinusoids to the timestep's (arXiv
    2310.04378, section 4.2).
    """

    def __init__(self, channels: int, out_dim: int, flip_sin_to_cos: bool, freq_shift: float) -> None:
        super().__init__()
        self.waves, self.flip, self.shift = channels // 2, flip_sin_to_cos, freq_shift
        self.linear_1 = nn.Linear(channels, out_dim)
        self.linear_2 = nn.Linear(out_dim, out_dim)
        self.cond_proj: nn.Linear | None = None

    def embed_guidance(self, width: int) -> None:
        """Add the projection of ``width`` sinusoids of the guidance scale."""
        self.cond_proj = nn.Linear(width, self.linear_1.in_features, bias=False)

    def forward(self, timesteps: Tensor, guidance_scale: float | None = None) -> Tensor:
        """`timesteps` [B] (integers or floats) -> [B, E]."""
        x = self.sinusoids(timesteps.reshape(-1)).to(self.linear_1.weight.dtype)
        if self.cond_proj is not None and guidance_scale is not None:
            emb = guidance_sinusoids(guidance_scale, self.cond_proj.in_features, timesteps.device)
            x = x + self.cond_proj(emb.to(x.dtype))
        return self.linear_2(F.silu(self.linear_1(x)))

    def sinusoids(self, timesteps: Tensor) -> Tensor:
        return sinusoids(timesteps, self.waves, self.flip, self.shift)


def sinusoids(values: Tensor, waves: int, flip: bool, shift: float) -> Tensor:
    """`values` [B] -> [B, 2 * waves] float32: sines, then cosines (cosines first where `flip`)."""
    # float32 whatever the weights' type: half precision cannot hold timestep 999 times a frequency
    steps = torch.arange(waves, dtype=torch.float32, device=values.device)
    frequencies = torch.exp(steps * -math.log(10000) / (waves - shift))
    angles = values.float()[:, None] * frequencies  # [B, waves]
    pair = [angles.cos(), angles.sin()] if flip else [angles.sin(), angles.cos()]
    return torch.cat(pair, dim=-1)


def guidance_sinusoids(guidance_scale: float, width: int, device: torch.device) -> Tensor:
    """[1, width]: sines, then cosines of 1000 w at ``width`` / 2 frequencies from 1 to 1/10000, w = scale - 1.

    The timestep's come cosines first, and do not reach 1/10000."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=device)
    angles = 1000.0 * (guidance_scale - 1.0) * torch.exp(steps * (-math.log(10000) / (half - 1)))
    return F.pad(torch.cat([angles.sin(), angles.cos()]), (0, width % 2))[None]


class DownBlock(nn.Module):
    """`layers` ResNet blocks, each followed by a transformer if `heads` is given; then half the size."""

    def __init__(
        self, in_channels: int, channels: int, layers: int, heads: int | None, shrink: bool, common: Common
    ) -> None:
        super().__init__()
        sources = [in_channels] + [channels] * (layers - 1)
        self.resnets = nn.ModuleList(common.resnet(c, channels) for c in sources)
        self.attentions = nn.ModuleList(common.transformer(channels, heads) for _ in sources if heads)
        self.motion_modules = nn.ModuleList()
        self.downsamplers = nn.ModuleList([Downsample(channels)] if shrink else [])

    def forward(self, x: Tensor, shifts: Iterator[Tensor], kv: Iterator[KV], frames: int = 1) -> list[Tensor]:
        """Returns every intermediate map, for the up path; the last one is the block's output."""
        skips: list[Tensor] = []
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, next(shifts), frames)
            if self.attentions:
                x = self.attentions[i](x, kv, frames)
            if self.motion_modules:
                x = self.motion_modules[i](x, frames)
            skips.append(x)
        for downsample in self.downsamplers:
            skips.append(downsample(x))
        return skips


class MidBlock(nn.Module):
    """ResNet, transformer, ResNet at the smallest size."""

    def __init__(self, channels: int, heads: int, common: Common) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([common.transformer(channels, heads)])
        self.motion_modules = nn.ModuleList()
        self.resnets = nn.ModuleList([common.resnet(channels, channels) for _ in range(2)])

    def forward(self, x: Tensor, shifts: Iterator[Tensor], kv: Iterator[KV], frames: int = 1) -> Tensor:
        x = self.attentions[0](self.resnets[0](x, next(shifts), frames), kv, frames)
        for motion in self.motion_modules:
            x = motion(x, frames)
        return self.resnets[1](x, next(shifts), frames)


class UpBlock(nn.Module):
    """Like `DownBlock`, but each ResNet block also takes one map of the down path; then twice the size."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        skip_channels: list[int],
        heads: int | None,
        grow: bool,
        common: Common,
    ) -> None:
        super().__init__()
        sources = [in_channels] + [channels] * (len(skip_channels) - 1)
        self.resnets = nn.ModuleList(
            common.resnet(c + s, channels) for c, s in zip(sources, skip_channels, strict=True)
        )
        self.attentions = nn.ModuleList(common.transformer(channels, heads) for _ in sources if heads)
        self.motion_modules = nn.ModuleList()
        self.upsamplers = nn.ModuleList([Upsample(channels)] if grow else [])

    def forward(
        self, x: Tensor, skips: list[Tensor], shifts: Iterator[Tensor], kv: Iterator[KV], frames: int = 1
    ) -> Tensor:
        """Takes its maps from the end of `skips`; grows to the size of the one that is then last."""
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, for_branches(skips.pop(), len(x))], dim=1), next(shifts), frames)
            if self.attentions:
                x = self.attentions[i](x, kv, frames)
            if self.motion_modules:
                x = self.motion_modules[i](x, frames)
        for upsample in self.upsamplers:
            x = upsample(x, skips[-1].shape[2:])
        return x
