"""The UNet of VideoCrafter2 (arXiv 2401.09047): Stable Diffusion 2's, with layers between the frames of a clip.

    first convolution, then a motion module of its own width (``init_attn``)
    layer of a level:   ResNet block, convolution over frames, transformer, motion module (these two not at the lowest)
    middle:             ResNet block, convolution over frames, transformer, motion module, ResNet block, convolution

Nothing knows positions: order in time enters by the convolutions alone. The frame rate is embedded as the timestep is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..layers.norms import GroupNorm
from .attention import KV
from .blocks import ResnetBlock
from .clip_unet import ClipUNet
from .config import refuse
from .motion import MotionModule, clips_of
from .unet import UNetConfig
from .unet_blocks import DownBlock, MidBlock, TimeEmbedding, UpBlock

FIRST_HEADS = 8  # of the module after the first convolution, whatever its width


@dataclass(frozen=True)
class VideoUNetConfig(UNetConfig):
    """The fields of a UNet, the length of the clips that it was trained on, and the frame rate where none is given."""

    max_frames: int = 16
    fps: int = 16

    @property
    def embeds_fps(self) -> bool:
        return True

    @property
    def head_width(self) -> int:
        """Channels of a head, the same on all levels."""
        return self.block_out_channels[0] // self.heads[0]

    def check(self, where: str) -> None:
        super().check(where)
        wanted = tuple(channels // self.head_width for channels in self.block_out_channels)
        if self.heads != wanted:
            refuse(where, "attention_head_dim", self.heads, f"{wanted}, heads of one width")


class TemporalConv(nn.Module):
    """Four normalised convolutions over three frames at each pixel, with a residual around the whole."""

    def __init__(self, channels: int, groups: int, eps: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(GroupNorm(groups, channels, eps) for _ in range(4))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, (3, 1), padding=(1, 0)) for _ in range(4))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """`x` [B * frames, C, h, w], the frames of a clip one after another -> the same shape."""
        h = clips_of(x, frames)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(norm(h))
        return x + h.transpose(1, 2).reshape(x.shape)  # [B, C, L, h w] -> [B L, C, h, w]


class VideoUNet(ClipUNet):
    """Predicts the noise in the latents of clips."""

    config: VideoUNetConfig

    def __init__(self, config: VideoUNetConfig) -> None:
        super().__init__(config)
        self.max_frames = config.max_frames
        width, groups = config.block_out_channels[0], config.norm_num_groups
        self.fps_embedding = TimeEmbedding(width, self.common.temb_dim, config.flip_sin_to_cos, config.freq_shift)
        inner = FIRST_HEADS * config.head_width
        self.init_attn = MotionModule(width, FIRST_HEADS, 1, groups, None, inner)
        for resnet in self._resnets():
            resnet.temporal_conv = TemporalConv(resnet.conv1.out_channels, groups, config.norm_eps)
        for block in (*self.down_blocks, self.mid_block, *self.up_blocks):
            assert isinstance(block, DownBlock | MidBlock | UpBlock)
            block.motion_modules = motion_modules(block, config)

    def embed_time(self, timesteps: Tensor, guidance_scale: float | None, fps: int | None) -> Tensor:
        rate = torch.full_like(timesteps[:1], self.config.fps if fps is None else fps)
        return super().embed_time(timesteps, guidance_scale, fps) + self.fps_embedding(rate)

    def _encode(
        self, x: Tensor, shifts: Iterator[Tensor], kv: Iterator[KV], frames: int = 1
    ) -> tuple[list[Tensor], Tensor]:
        return super()._encode(self.init_attn(x, frames), shifts, kv, frames)


def motion_modules(block: DownBlock | MidBlock | UpBlock, config: VideoUNetConfig) -> nn.ModuleList:
    """One for each transformer of a level."""
    first = block.resnets[0]
    assert isinstance(first, ResnetBlock)
    channels = first.conv1.out_channels
    heads, groups = channels // config.head_width, config.norm_num_groups
    return nn.ModuleList(MotionModule(channels, heads, 1, groups, None) for _ in block.attentions)
