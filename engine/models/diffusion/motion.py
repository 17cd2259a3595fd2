"""Motion modules of AnimateDiff (arXiv 2307.04725): attention between the frames of a clip, pixel by pixel.

    h = group norm of all frames together
    for every pixel: its L values, one a frame, are a sequence of L tokens
        h = h + attn1(norm1(h) + p)      p: sinusoids of the frame's position (arXiv 1706.03762)
        h = h + attn2(norm2(h) + p)      self-attention again; frames see all frames, there is no mask
        h = h + ff(norm3(h))
    x = x + projection of h

A motion adapter is nothing but such modules, in the places of a UNet's layers; names are those of its published weights
(guoyww/animatediff-motion-adapter-v1-5-2, as diffusers writes them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...utils.weights import read_json, skeleton
from ..layers.norms import GroupNorm
from .attention import Attention, FeedForward
from .checkpoint import load_component
from .config import read_config, refuse

FIXED: dict[str, tuple[Any, ...]] = {
    "_class_name": ("MotionAdapter",),
    "motion_mid_block_layers_per_block": (1,),
    "conv_in_channels": (None,),  # PIA, which reads a picture with the latents
}
PER_LEVEL = ("motion_layers_per_block", "motion_transformer_layers_per_block", "motion_num_attention_heads")
POSITIONS = "pos_embed.pe"


@dataclass(frozen=True)
class MotionConfig:
    """The fields that may vary, with the published names and defaults; lists have one entry a level."""

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    motion_layers_per_block: int | tuple[int, ...] = 2
    motion_transformer_layers_per_block: int | tuple[int, ...] = 1
    motion_transformer_layers_per_mid_block: int | tuple[int, ...] = 1
    motion_num_attention_heads: int | tuple[int, ...] = 8
    motion_norm_num_groups: int = 32
    motion_max_seq_length: int = 32
    use_motion_mid_block: bool = True

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], where: str = "motion adapter config") -> MotionConfig:
        """Reads a published config. Raises ValueError (one line) naming the field that is not supported."""
        value = read_config(cls, config, where, FIXED, frozenset())
        value.check(where)
        return value

    @classmethod
    def from_directory(cls, path: Path) -> MotionConfig:
        """Reads the config in an adapter's folder. Raises ValueError (one line) that names the folder or the file."""
        if not path.is_dir():
            raise ValueError(f"{path}: no such directory")
        file = path / "config.json"
        return cls.from_dict(read_json(file), str(file))

    def per_level(self, key: str) -> tuple[int, ...]:
        """The field ``key`` of each level."""
        value: int | tuple[int, ...] = getattr(self, key)
        return (value,) * len(self.block_out_channels) if isinstance(value, int) else value

    @property
    def mid_transformer_layers(self) -> int:
        layers = self.motion_transformer_layers_per_mid_block
        return layers if isinstance(layers, int) else layers[0]

    def check(self, where: str) -> None:
        levels = len(self.block_out_channels)
        for key in PER_LEVEL:
            if len(self.per_level(key)) != levels:
                refuse(where, key, getattr(self, key), f"one entry for each of {levels} levels")
        layers = self.motion_transformer_layers_per_mid_block
        if not isinstance(layers, int) and len(layers) != 1:
            refuse(where, "motion_transformer_layers_per_mid_block", layers, "one entry")
        for channels, heads in zip(self.block_out_channels, self.per_level("motion_num_attention_heads"), strict=True):
            if channels % self.motion_norm_num_groups:
                refuse(where, "motion_norm_num_groups", self.motion_norm_num_groups, f"a divisor of {channels}")
            if channels % heads:
                refuse(where, "motion_num_attention_heads", heads, f"a divisor of {channels} channels")
            if channels % 2:
                refuse(where, "block_out_channels", self.block_out_channels, "even numbers")


def sinusoids(length: int, channels: int) -> Tensor:
    """Position l, channel 2 i: sin(l / 10000^(2 i / C)), channel 2 i + 1: its cosine; float32 [1, length, channels].

    Worked example, 3 positions of 4 channels (frequencies 1 and 1/100):
    (0 1 0 1), (sin 1, cos 1, sin .01, cos .01), (sin 2, cos 2, sin .02, cos .02).
    """
    positions = torch.arange(length, dtype=torch.float32)[:, None]
    frequencies = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * (-math.log(10000.0) / channels))
    angles = positions * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[None]


def position_tables(model: nn.Module) -> dict[str, Tensor]:
    """The tables of positions in a model, by name: they follow from the shapes, and some files leave them out."""
    names = {name: value.shape for name, value in model.state_dict().items() if name.endswith(POSITIONS)}
    return {name: sinusoids(length, channels) for name, (_, length, channels) in names.items()}


class FramePositions(nn.Module):
    """Adds each frame's position; the table is a buffer, since published files hold it."""

    pe: Tensor

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids(length, channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, C] -> [N, L, C]."""
        return x + self.pe[:, : x.shape[1]]


class TemporalBlock(nn.Module):
    """Two self-attentions between frames and a feed-forward; layer norm before each, positions before the first two.
    Without ``max_frames`` it knows no positions."""

    def __init__(self, channels: int, heads: int, max_frames: int | None) -> None:
        super().__init__()
        self.pos_embed = nn.Identity() if max_frames is None else FramePositions(channels, max_frames)
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, C] -> [N, L, C]: N pixels, L frames."""
        x = x + self.attn1(self.pos_embed(self.norm1(x)))
        x = x + self.attn2(self.pos_embed(self.norm2(x)))
        return x + self.ff(self.norm3(x))


class MotionModule(nn.Module):
    """Temporal blocks over every pixel of a clip's feature maps, with a residual around the whole. The blocks are
    ``width`` channels wide (None: as the maps)."""

    def __init__(
        self, channels: int, heads: int, layers: int, groups: int, max_frames: int | None, width: int | None = None
    ) -> None:
        super().__init__()
        width = width or channels
        self.norm = GroupNorm(groups, channels, eps=1e-6, silu=False)
        self.proj_in = nn.Linear(channels, width)
        self.transformer_blocks = nn.ModuleList(TemporalBlock(width, heads, max_frames) for _ in range(layers))
        self.proj_out = nn.Linear(width, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """`x` [B * frames, C, h, w], the frames of a clip one after another -> the same shape."""
        h = self.norm(clips_of(x, frames)).permute(0, 3, 2, 1)  # [B, h w, L, C]
        pixels = h.shape[:2]
        h = self.proj_in(h.flatten(0, 1))
        for block in self.transformer_blocks:
            h = block(h)
        h = self.proj_out(h).unflatten(0, pixels)
        return x + h.permute(0, 2, 3, 1).reshape(x.shape)  # [B, L, C, h w] -> [B L, C, h, w]


def clips_of(x: Tensor, frames: int) -> Tensor:
    """[B L, C, h, w] -> [B, C, L, h w]: a norm's statistics are then those of the whole clip."""
    return x.unflatten(0, (-1, frames)).flatten(3).transpose(1, 2)


class MotionModules(nn.Module):
    """The modules of one level, one after each of its layers; a module of its own because the weights' names have
    it."""

    def __init__(self, config: MotionConfig, level: int, layers: int, depth: int) -> None:
        super().__init__()
        channels, heads = config.block_out_channels[level], config.per_level("motion_num_attention_heads")[level]
        groups, max_frames = config.motion_norm_num_groups, config.motion_max_seq_length
        self.motion_modules = nn.ModuleList(
            MotionModule(channels, heads, depth, groups, max_frames) for _ in range(layers)
        )


class MotionAdapter(nn.Module):
    """All motion modules of a UNet, by the names of published weights: what they are inserted into is MotionUNet."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        layers = config.per_level("motion_layers_per_block")
        depths = config.per_level("motion_transformer_layers_per_block")
        levels = range(len(config.block_out_channels))
        self.down_blocks = nn.ModuleList(MotionModules(config, i, layers[i], depths[i]) for i in levels)
        last, depth = levels[-1], config.mid_transformer_layers
        self.mid_block = MotionModules(config, last, 1, depth) if config.use_motion_mid_block else None
        # the way up has one layer a level more, as the UNet has
        self.up_blocks = nn.ModuleList(MotionModules(config, i, layers[i] + 1, depths[i]) for i in reversed(levels))

    @classmethod
    def from_directory(cls, path: str | Path, dtype: torch.dtype = torch.float32) -> MotionAdapter:
        """Loads ``config.json`` and ``diffusion_pytorch_model[.fp16].safetensors``, on the CPU.

        Raises ValueError (one line) that names the file and the key: no such directory, an unsupported config
        field, a missing or truncated file, wrong keys or shapes.
        """
        path = Path(path)
        config = MotionConfig.from_directory(path)
        with skeleton():
            adapter = cls(config)
        load_component(adapter, path, dtype, computed=position_tables(adapter))
        return adapter

    def blocks(self) -> Sequence[nn.Module | None]:
        """The levels in the order of use; the middle one is None where it has no module."""
        return [*self.down_blocks, self.mid_block, *self.up_blocks]
