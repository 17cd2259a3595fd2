"""The denoising network of Stable Diffusion 1.x and 2.x (arXiv 2112.10752), loading published weights by name.

What depends on the timestep alone and what depends on the prompt alone can be computed once and passed in:

    shifts = unet.time_shifts(timesteps)       # once a schedule
    kv = unet.context_kv(context)              # once a prompt
    noise = unet(latents, shifts, kv)          # each step; the same as unet(latents, timesteps, context)

Branches of guidance have the same latents and differ in the prompt only, so what comes before the first
cross-attention is theirs in common: given latents [B] and a context of 2 B rows, it is computed for B.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from ..layers.norms import GroupNorm
from .attention import KV, TransformerBlock, for_branches
from .blocks import ResnetBlock
from .config import read_config, refuse
from .unet_blocks import Common, DownBlock, MidBlock, TimeEmbedding, UpBlock

DOWN_TYPES = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}  # name -> with cross-attention
UP_TYPES = {"CrossAttnUpBlock2D": True, "UpBlock2D": False}

# Fields of a published config that select another network: only the values listed are ours.
FIXED: dict[str, tuple[Any, ...]] = {
    "_class_name": ("UNet2DConditionModel",),
    "act_fn": ("silu", "swish"),
    "addition_embed_type": (None,),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "class_embeddings_concat": (False,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": (None,),
    "downsample_padding": (1,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "mid_block_only_cross_attention": (None, False),
    "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "num_attention_heads": (None,),
    "num_class_embeds": (None,),
    "only_cross_attention": (False,),
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "reverse_transformer_layers_per_block": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_dim": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
# Training, or meaningless once the fields above are fixed.
IGNORED = frozenset(
    {"sample_size", "dropout", "addition_embed_type_num_heads", "addition_time_embed_dim"}
    | {"projection_class_embeddings_input_dim"}
)


C = TypeVar("C", bound="EncoderConfig")


@dataclass(frozen=True)
class EncoderConfig:
    """The fields of the encoder half that may vary, with the published names and defaults.

    `attention_head_dim` is, by an old misnomer that the weights depend on, the *number* of heads: one for all
    levels, or one a level.
    """

    FIXED: ClassVar[Mapping[str, tuple[Any, ...]]] = FIXED

    in_channels: int = 4
    flip_sin_to_cos: bool = True
    freq_shift: float = 0
    down_block_types: tuple[str, ...] = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int = 1280
    transformer_layers_per_block: int | tuple[int, ...] = 1
    attention_head_dim: int | tuple[int, ...] = 8
    use_linear_projection: bool = False
    upcast_attention: bool = False

    @classmethod
    def from_dict(cls: type[C], config: Mapping[str, Any], where: str = "UNet config") -> C:
        """Reads a published config. Raises ValueError (one line) naming the field that is not supported."""
        value = read_config(cls, config, where, cls.FIXED, IGNORED)
        value.check(where)
        return value

    @property
    def heads(self) -> tuple[int, ...]:
        """The number of attention heads of each level."""
        heads = self.attention_head_dim
        return (heads,) * len(self.block_out_channels) if isinstance(heads, int) else heads

    @property
    def depths(self) -> tuple[int, ...]:
        """The number of blocks in a transformer of each level; the middle has the last level's."""
        layers = self.transformer_layers_per_block
        return (layers,) * len(self.block_out_channels) if isinstance(layers, int) else layers

    def check(self, where: str) -> None:
        """Raises ValueError (one line, begins with `where`) for fields that do not fit together."""
        self._check_levels(where, "down_block_types", DOWN_TYPES)
        levels = len(self.block_out_channels)
        for key, entries in (("attention_head_dim", self.heads), ("transformer_layers_per_block", self.depths)):
            if len(entries) != levels:
                refuse(where, key, entries, f"one entry for each of {levels} levels")
        for channels, heads in zip(self.block_out_channels, self.heads, strict=True):
            if channels % self.norm_num_groups:
                refuse(where, "norm_num_groups", self.norm_num_groups, f"a divisor of {channels} channels")
            if channels % heads:
                refuse(where, "attention_head_dim", heads, f"a divisor of {channels} channels")
        if self.block_out_channels[0] % 2:
            refuse(where, "block_out_channels", self.block_out_channels, "an even first entry")

    def _check_levels(self, where: str, key: str, known: Mapping[str, bool]) -> None:
        kinds, levels = getattr(self, key), len(self.block_out_channels)
        if len(kinds) != levels:
            refuse(where, key, kinds, f"one entry for each of {levels} levels")
        for name in kinds:
            if name not in known:
                refuse(where, key, name, ", ".join(known))


@dataclass(frozen=True)
class UNetConfig(EncoderConfig):
    """The fields of a whole UNet."""

    out_channels: int = 4
    up_block_types: tuple[str, ...] = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    time_cond_proj_dim: int | None = None

    @property
    def embeds_guidance(self) -> bool:
        """Does the network take the scale of guidance as an input, so that one pass is a guided one (LCM)?"""
        return self.time_cond_proj_dim is not None

    @property
    def embeds_fps(self) -> bool:
        """Does the network take the frame rate of a clip as an input?"""
        return False

    def check(self, where: str) -> None:
        super().check(where)
        self._check_levels(where, "up_block_types", UP_TYPES)


class UNetEncoder(nn.Module):
    """The way down and the middle, under their published names: half of a UNet, and most of a ControlNet."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        widths, heads, layers = config.block_out_channels, config.heads, config.layers_per_block
        depths = config.depths
        self.common = Common(
            temb_dim=4 * widths[0],
            groups=config.norm_num_groups,
            eps=config.norm_eps,
            context_dim=config.cross_attention_dim,
            transformer_layers=depths[-1],
            linear=config.use_linear_projection,
            upcast=config.upcast_attention,
        )
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], self.common.temb_dim, config.flip_sin_to_cos, config.freq_shift)
        self.down_blocks = nn.ModuleList()
        self.skip_channels, channels = [widths[0]], widths[0]  # of every map handed to the up path
        for i, (width, kind) in enumerate(zip(widths, config.down_block_types, strict=True)):
            level_heads = heads[i] if DOWN_TYPES[kind] else None
            common = replace(self.common, transformer_layers=depths[i])
            self.down_blocks.append(DownBlock(channels, width, layers, level_heads, i < last, common))
            self.skip_channels += [width] * (layers + (i < last))
            channels = width
        self.mid_block = MidBlock(channels, heads[-1], self.common)

    @property
    def num_contexts(self) -> int:
        """Length of the list from :meth:`context_kv`."""
        return sum(isinstance(module, TransformerBlock) for module in self.modules())

    def context_kv(self, context: Tensor) -> list[KV]:
        """Keys and values of `context` [B, S, D] for every cross-attention, in the order of use; [B, H, S, D/H]."""
        # Registration order (down, middle, up) is execution order.
        return [m.attn2.keys_values(context) for m in self.modules() if isinstance(m, TransformerBlock)]

    def time_shifts(self, timesteps: Tensor, guidance_scale: float | None = None, fps: int | None = None) -> Tensor:
        """Shifts of all ResNet blocks at each of the timesteps [N], one after another in the order of use: [N, P].

        ``guidance_scale`` counts where the network embeds it; None leaves its embedding out. ``fps`` counts in networks
        of clips that embed it; None is their default."""
        return self.shifts_of(self.embed_time(timesteps, guidance_scale, fps))

    def shifts_of(self, temb: Tensor) -> Tensor:
        """[N, E], as :meth:`embed_time` makes it -> [N, P]."""
        return torch.cat([block.time_shift(temb) for block in self._resnets()], -1)

    def embed_time(self, timesteps: Tensor, guidance_scale: float | None, fps: int | None) -> Tensor:
        """[N] -> [N, E], before each block's projection."""
        return self.time_embedding(timesteps, guidance_scale)

    def _resnets(self) -> list[ResnetBlock]:
        # Registration order (down, middle, up) is execution order.
        return [m for m in self.modules() if isinstance(m, ResnetBlock)]

    def _encode(
        self, x: Tensor, shifts: Iterator[Tensor], kv: Iterator[KV], frames: int = 1
    ) -> tuple[list[Tensor], Tensor]:
        """`x` [B, widths[0], h, w] as `conv_in` makes it -> (every map for the up path, the middle's output)."""
        skips = [x]
        for block in self.down_blocks:
            skips += block(skips[-1], shifts, kv, frames)
        return skips, self.mid_block(skips[-1], shifts, kv, frames)


class UNet(UNetEncoder):
    """Predicts the noise (or v, as the weights were trained) in latents, given timestep and prompt."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        self.config, self.use_triton = config, False
        if config.time_cond_proj_dim is not None:
            self.time_embedding.embed_guidance(config.time_cond_proj_dim)
        widths, heads = config.block_out_channels, config.heads
        last, skips, channels = len(widths) - 1, list(self.skip_channels), widths[-1]
        self.up_blocks = nn.ModuleList()
        for i, kind in enumerate(config.up_block_types):
            width = widths[last - i]
            level_heads = heads[last - i] if UP_TYPES[kind] else None
            taken = [skips.pop() for _ in range(config.layers_per_block + 1)]
            common = replace(self.common, transformer_layers=config.depths[last - i])
            self.up_blocks.append(UpBlock(channels, width, taken, level_heads, i < last, common))
            channels = width
        assert not skips
        self.conv_norm_out = GroupNorm(config.norm_num_groups, channels, config.norm_eps)
        self.conv_out = nn.Conv2d(channels, config.out_channels, 3, padding=1)
        self._widths = [block.conv1.out_channels for block in self._resnets()]

    def enable_triton(self) -> None:
        """Guidance and steps between the passes go by our kernels."""
        self.use_triton = True

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor | Sequence[KV],
        residuals: Sequence[Tensor] = (),
    ) -> Tensor:
        """`latents` [B, in, h, w] -> [B, out, h, w].

        `timesteps`: [B] or [1] timesteps, or [B or 1, P] from `time_shifts`. `context`: the text encoder's states
        [B, S, D], or the list from `context_kv`; with n B rows the result has as many, the first B those of the
        first branch, and there is one timestep for all. `residuals` are a ControlNet's: one for each map of the way
        down and one for the middle, of B or n B rows.
        """
        table = timesteps if timesteps.ndim == 2 else self.time_shifts(timesteps)
        kv = self.context_kv(context) if isinstance(context, Tensor) else context
        return self._denoise(latents, table, kv, residuals=residuals)

    def _denoise(
        self, x: Tensor, table: Tensor, kv: Sequence[KV], frames: int = 1, residuals: Sequence[Tensor] = ()
    ) -> Tensor:
        rest, shifts = iter(kv), iter(table.split(self._widths, -1))
        skips, x = self._encode(self.conv_in(x), shifts, rest, frames)
        if residuals:  # only what the way up reads: the encoder ran without them (arXiv 2302.05543, section 3.2)
            *skips, x = [add_branches(own, other) for own, other in zip((*skips, x), residuals, strict=True)]
        for block in self.up_blocks:
            x = block(x, skips, shifts, rest, frames)
        assert not skips
        assert next(rest, None) is None, "keys and values of another network"
        return self.conv_out(self.conv_norm_out(x))


def add_branches(x: Tensor, other: Tensor) -> Tensor:
    """The sum of two maps, of which one may have been computed for all branches in common."""
    rows = max(len(x), len(other))
    return for_branches(x, rows) + for_branches(other, rows)
