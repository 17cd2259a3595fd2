"""Blocks of IF's UNets: a residual block that the time scales and shifts, and attention to text and pixels at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.norms import GroupNorm
from ..attention import KV, Attention
from ..unet_blocks import TimeEmbedding

Size = tuple[int, int]


@dataclass(frozen=True)
class Common:
    """Parts that all levels share. ``act_time``: each block activates the time embedding, which else arrives so;
    ``rescale`` divides what a block adds up, ``mid_rescale`` in the middle."""

    temb_dim: int
    groups: int
    eps: float
    context_dim: int
    head_dim: int
    act_time: bool
    rescale: float
    mid_rescale: float

    def resnet(self, in_channels: int, out_channels: int, rescale: float | None = None) -> ResnetBlock:
        return ResnetBlock(in_channels, out_channels, self, rescale or self.rescale)

    def attention(self, channels: int) -> TextAttention:
        return TextAttention(channels, channels // self.head_dim, self.context_dim, self.groups)


class GeluTimeEmbedding(TimeEmbedding):
    """Sinusoids through two layers with a GELU between."""

    def forward(self, timesteps: Tensor, guidance_scale: float | None = None) -> Tensor:
        """`timesteps` [B] -> [B, E]; IF's networks do not read the scale of guidance."""
        x = self.sinusoids(timesteps.reshape(-1)).to(self.linear_1.weight.dtype)
        return self.linear_2(F.gelu(self.linear_1(x)))


class ResnetBlock(nn.Module):
    """Two normalised 3x3 convolutions and a shortcut; both change the map's size alike, without weights."""

    def __init__(self, in_channels: int, out_channels: int, common: Common, rescale: float) -> None:
        super().__init__()
        self.act_time, self.rescale, self.width = common.act_time, rescale, out_channels
        self.norm1 = GroupNorm(common.groups, in_channels, common.eps, silu=False)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(common.temb_dim, 2 * out_channels)
        self.norm2 = GroupNorm(common.groups, out_channels, common.eps, silu=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.conv_shortcut = None if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor, size: Size | None = None) -> Tensor:
        """`x` [B, in, h, w], `emb` [B, E] -> [B, out, h', w']; a block that grows the map makes it `size`."""
        h = self.conv1(self.resize(F.gelu(self.norm1(x)), size))
        x = self.resize(x, size)
        time = self.time_emb_proj(F.gelu(emb) if self.act_time else emb)
        # Parted before they get axes: OpenVINO 2026.4.1 compiles for ever what adds 1 to a part of a map [B, C, 1, 1].
        scale, shift = time[:, : self.width, None, None], time[:, self.width :, None, None]
        h = self.conv2(F.gelu(self.norm2(h) * (1 + scale) + shift))
        return ((x if self.conv_shortcut is None else self.conv_shortcut(x)) + h) / self.rescale

    def resize(self, x: Tensor, size: Size | None) -> Tensor:
        """[B, C, h, w] at the size of the result."""
        return x


class Shrinking(ResnetBlock):
    """Halves the map by means of 2 x 2 pixels, of fewer at the edge of an odd one."""

    def resize(self, x: Tensor, size: Size | None) -> Tensor:
        return F.avg_pool2d(x, 2, ceil_mode=True)


class Growing(ResnetBlock):
    """Doubles the map by its nearest pixels, to the odd size that :class:`Shrinking` found where there was one."""

    def resize(self, x: Tensor, size: Size | None) -> Tensor:
        assert size is not None, "the size of the map that is joined next"
        return F.interpolate(x, size=size, mode="nearest")


class TextAttention(Attention):
    """Pixels attend to the text and to themselves in one softmax; padding of the text takes part."""

    def __init__(self, channels: int, heads: int, context_dim: int, groups: int) -> None:
        super().__init__(channels, heads, bias=True)
        self.group_norm = GroupNorm(groups, channels, 1e-5, silu=False)
        self.norm_cross = nn.GroupNorm(32, context_dim, eps=1e-5)  # over a group's channels and all tokens
        self.add_k_proj = nn.Linear(context_dim, channels)
        self.add_v_proj = nn.Linear(context_dim, channels)

    def text_kv(self, context: Tensor) -> KV:
        """`context` [B, S, D] -> its (keys, values), each [B, H, S, C/H]: once a prompt."""
        text = self.norm_cross(context.transpose(1, 2)).transpose(1, 2)
        return self._split(self.add_k_proj(text)), self._split(self.add_v_proj(text))

    def forward(self, x: Tensor, kv: KV | None = None) -> Tensor:
        """`x` [B, C, h, w] and the text's `kv` -> the same shape."""
        assert kv is not None, "IF's pixels always read a text"
        pixels = self.group_norm(x).flatten(2).transpose(1, 2)  # [B, hw, C]
        own = self.keys_values(pixels)
        joined = torch.cat((kv[0], own[0]), dim=2), torch.cat((kv[1], own[1]), dim=2)
        return x + super().forward(pixels, joined).transpose(1, 2).unflatten(2, x.shape[2:])
