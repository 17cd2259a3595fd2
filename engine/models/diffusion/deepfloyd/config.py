"""Config of IF's UNets, as published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config import read_config, refuse

DOWN_TYPES = {"ResnetDownsampleBlock2D": False, "SimpleCrossAttnDownBlock2D": True}  # name -> with attention
UP_TYPES = {"SimpleCrossAttnUpBlock2D": True, "ResnetUpsampleBlock2D": False}
TEXT_GROUPS = 32  # of the norm of an attention's text

# Fields that select another network: only the values listed are ours.
FIXED: dict[str, tuple[Any, ...]] = {
    "_class_name": ("UNet2DConditionModel",),
    "act_fn": ("gelu",),
    "addition_embed_type": ("text",),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embeddings_concat": (False,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": ("group_norm",),
    "dual_cross_attention": (False,),
    "encoder_hid_dim_type": (None, "text_proj"),
    "mid_block_only_cross_attention": (None, False),
    "mid_block_type": ("UNetMidBlock2DSimpleCrossAttn",),
    "num_attention_heads": (None,),
    "num_class_embeds": (None,),
    "only_cross_attention": (False,),
    "out_channels": (6,),
    "resnet_time_scale_shift": ("scale_shift",),
    "reverse_transformer_layers_per_block": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
    "upcast_attention": (False,),
}
# What diffusers' defaults make another network of: a config must say it.
REQUIRED = (
    "act_fn", "addition_embed_type", "cross_attention_norm", "mid_block_type", "out_channels",
    "resnet_time_scale_shift", "in_channels", "down_block_types", "up_block_types", "encoder_hid_dim",
)  # fmt: skip
# Training, or of blocks that these networks do not have.
IGNORED = frozenset(
    {"sample_size", "dropout", "downsample_padding", "addition_time_embed_dim", "use_linear_projection"}
    | {"projection_class_embeddings_input_dim", "transformer_layers_per_block"}
)


@dataclass(frozen=True)
class IFUNetConfig:
    """The fields that may vary, with the published names and, but for those that must be given, diffusers' defaults.

    ``attention_head_dim`` is the width of a head here. ``class_embed_type`` "timestep" and 6 ``in_channels`` make an
    upscaler (stage II): it also reads a picture, and how much noise that has.
    """

    in_channels: int
    down_block_types: tuple[str, ...]
    up_block_types: tuple[str, ...]
    encoder_hid_dim: int
    flip_sin_to_cos: bool = True
    freq_shift: float = 0
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int | tuple[int, ...] = 2
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int = 1280
    attention_head_dim: int = 8
    addition_embed_type_num_heads: int = 64
    class_embed_type: str | None = None
    time_embedding_dim: int | None = None
    time_embedding_act_fn: str | None = None
    resnet_skip_time_act: bool = False
    resnet_out_scale_factor: float = 1.0
    mid_block_scale_factor: float = 1.0

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], where: str = "UNet config") -> IFUNetConfig:
        """Reads a published config. Raises ValueError (one line) naming the field that is not supported."""
        for key in REQUIRED:
            if config.get(key) is None:
                raise ValueError(f"{where}: {key} is missing")
        value = read_config(cls, config, where, FIXED, IGNORED)
        value.check(where)
        return value

    @property
    def embeds_guidance(self) -> bool:
        """No network of IF takes the scale of guidance as an input."""
        return False

    @property
    def embeds_fps(self) -> bool:
        """Nor a frame rate."""
        return False

    @property
    def out_channels(self) -> int:
        """Noise and variance of each colour."""
        return 6

    @property
    def upscales(self) -> bool:
        """Does it read a small picture besides its own (stage II)?"""
        return self.in_channels == 6

    @property
    def temb_dim(self) -> int:
        """Width of the time embedding."""
        return self.time_embedding_dim or 4 * self.block_out_channels[0]

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers of each level on the way down."""
        layers = self.layers_per_block
        return (layers,) * len(self.block_out_channels) if isinstance(layers, int) else layers

    def check(self, where: str) -> None:
        """Raises ValueError (one line, begins with `where`) for fields that do not fit together."""
        for key, known in (("down_block_types", DOWN_TYPES), ("up_block_types", UP_TYPES)):
            self._check_length(where, key, getattr(self, key))
            for name in getattr(self, key):
                if name not in known:
                    refuse(where, key, name, ", ".join(known))
        self._check_length(where, "layers_per_block", self.layers)
        attend = [*map(DOWN_TYPES.get, self.down_block_types[:-1]), True]  # the middle has the last one's width
        attend = [one or UP_TYPES[kind] for one, kind in zip(attend, reversed(self.up_block_types), strict=True)]
        for channels, attends in zip(self.block_out_channels, attend, strict=True):
            if channels % self.norm_num_groups:
                refuse(where, "norm_num_groups", self.norm_num_groups, f"a divisor of {channels} channels")
            if attends and channels % self.attention_head_dim:
                refuse(where, "attention_head_dim", self.attention_head_dim, f"a divisor of {channels} channels")
        for key, size, unit in (
            ("block_out_channels", self.block_out_channels[0], 2),
            ("cross_attention_dim", self.cross_attention_dim, TEXT_GROUPS),
            ("encoder_hid_dim", self.encoder_hid_dim, self.addition_embed_type_num_heads),
            ("time_embedding_dim", self.temb_dim, 2),
        ):
            if size % unit:
                refuse(where, key, size, f"a multiple of {unit}")
        for key, kinds in (("class_embed_type", ("timestep",)), ("time_embedding_act_fn", ("gelu",))):
            if getattr(self, key) not in (None, *kinds):
                refuse(where, key, getattr(self, key), f"null or {' or '.join(map(repr, kinds))}")
        if self.in_channels not in (3, 6) or self.upscales != (self.class_embed_type is not None):
            refuse(where, "in_channels", self.in_channels, "3, or 6 with class_embed_type 'timestep'")

    def _check_length(self, where: str, key: str, value: Sequence[Any]) -> None:
        if len(value) != len(self.block_out_channels):
            refuse(where, key, value, f"one entry for each of {len(self.block_out_channels)} levels")
