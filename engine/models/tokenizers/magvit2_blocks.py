"""The networks of MAGVIT-v2 as Show-o has it: residual blocks, one attention at the lowest resolution, resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.norms import GroupNorm
from .vqgan import Downsample, Upsample

if TYPE_CHECKING:
    from .magvit2_config import MAGVIT2Config

GROUP_NORM_EPS = 1e-6


def _norm(channels: int, config: MAGVIT2Config, silu: bool = True) -> GroupNorm:
    return GroupNorm(config.num_groups, channels, GROUP_NORM_EPS, silu)


class ResBlock(nn.Module):
    """norm - silu - conv3x3, twice, plus the skip (a 1x1 conv only where the channels change)."""

    def __init__(self, inputs: int, outputs: int, config: MAGVIT2Config) -> None:
        super().__init__()
        self.norm1 = _norm(inputs, config)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = _norm(outputs, config)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.nin_shortcut(x) + self.conv2(self.norm2(self.conv1(self.norm1(x))))
        return out


class Attention(nn.Module):
    """One head over all positions of a map."""

    def __init__(self, channels: int, config: MAGVIT2Config) -> None:
        super().__init__()
        self.norm = _norm(channels, config, silu=False)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        q, k, v = (part(normed).flatten(2).transpose(1, 2)[:, None] for part in (self.q, self.k, self.v))
        out = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.proj_out(out)


class Mid(nn.Module):
    """Two residual blocks and an attention between them, at the lowest resolution."""

    def __init__(self, channels: int, config: MAGVIT2Config) -> None:
        super().__init__()
        self.block_1, self.block_2 = (ResBlock(channels, channels, config) for _ in range(2))
        self.attn_1 = Attention(channels, config)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class Level(nn.Module):
    """The residual blocks of one resolution, then the change of resolution where ``name`` says which."""

    def __init__(self, inputs: int, outputs: int, blocks: int, name: str | None, config: MAGVIT2Config) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResBlock(outputs if i else inputs, outputs, config) for i in range(blocks))
        self.name = name
        if name is not None:
            self.add_module(name, (Downsample if name == "downsample" else Upsample)(outputs))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return x if self.name is None else self.get_submodule(self.name)(x)


class Encoder(nn.Module):
    """Pixels [B, 3, H, W] to vectors [B, z_channels, h, w]."""

    def __init__(self, config: MAGVIT2Config) -> None:
        super().__init__()
        widths, last = config.channels, len(config.channels) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        inputs = (widths[0], *widths)
        self.down = nn.ModuleList(
            Level(inputs[i], widths[i], config.encoder_blocks[i], "downsample" if i < last else None, config)
            for i in range(len(widths))
        )
        self.mid = Mid(widths[-1], config)
        self.norm_out = _norm(widths[-1], config)
        self.conv_out = nn.Conv2d(widths[-1], config.z_channels, 3, padding=1)
        self.quant_conv = nn.Conv2d(config.z_channels, config.z_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        out: Tensor = self.quant_conv(self.conv_out(self.norm_out(self.mid(h))))
        return out


class Decoder(nn.Module):
    """Code vectors [B, z_channels, h, w] to pixels [B, 3, H, W]; ``up[0]`` has full resolution and runs last."""

    def __init__(self, config: MAGVIT2Config) -> None:
        super().__init__()
        widths, lowest = config.decoder_channels, config.channels[-1]
        self.post_quant_conv = nn.Conv2d(config.z_channels, config.z_channels, 1)
        self.conv_in = nn.Conv2d(config.z_channels, lowest, 3, padding=1)
        self.mid = Mid(lowest, config)
        inputs = (*widths[1:], lowest)
        self.up = nn.ModuleList(
            Level(inputs[i], widths[i], config.decoder_blocks[i], "upsample" if i else None, config)
            for i in range(len(widths))
        )
        self.norm_out = _norm(widths[0], config)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(self.post_quant_conv(z)))
        for number in reversed(range(len(self.up))):
            h = self.up[number](h)
        out: Tensor = self.conv_out(self.norm_out(h))
        return out
