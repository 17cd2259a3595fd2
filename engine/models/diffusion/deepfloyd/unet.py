"""The denoising networks of DeepFloyd IF: stage I draws small pictures, stage II enlarges them four times.

They work on pixels, in blocks of attention that read text and pixels together, and predict the noise and, for each of
its values, how much fresh noise a step draws (``samplers/ddpm.py``). The interface is that of Stable Diffusion's UNet
(``denoiser.py``), with two differences in what is passed:

    time_shifts     the time embedding itself: each block makes its own scales and shifts of it, since the text is added
    context_kv      the first pair is not for an attention: it is the two halves of the text's vector, which is added
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.norms import GroupNorm
from ..attention import KV, for_branches
from .blocks import Common, GeluTimeEmbedding, Growing, Shrinking, TextAttention
from .config import DOWN_TYPES, UP_TYPES, IFUNetConfig
from .text_pooling import TextPooling

NOISE_LEVEL = 250  # timestep to which a small picture is noised: diffusers' default, the authors' aug_level 0.25


class DownLevel(nn.Module):
    """Residual blocks, each followed by attention where the level has it; then half the size."""

    def __init__(self, source: int, width: int, layers: int, attends: bool, shrink: bool, common: Common) -> None:
        super().__init__()
        sources = [source] + [width] * (layers - 1)
        self.resnets = nn.ModuleList(common.resnet(channels, width) for channels in sources)
        self.attentions = nn.ModuleList(common.attention(width) for _ in sources if attends)
        self.downsamplers = nn.ModuleList([Shrinking(width, width, common, common.rescale)] if shrink else [])

    def forward(self, x: Tensor, emb: Tensor, kv: Iterator[KV]) -> list[Tensor]:
        """Every map, for the way up; the last one is the level's output."""
        skips: list[Tensor] = []
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, emb)
            if self.attentions:
                x = self.attentions[i](x, next(kv))
            skips.append(x)
        return skips + [shrink(x, emb) for shrink in self.downsamplers]


class Middle(nn.Module):
    """Residual block, attention, residual block."""

    def __init__(self, width: int, common: Common) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([common.attention(width)])
        self.resnets = nn.ModuleList(common.resnet(width, width, common.mid_rescale) for _ in range(2))

    def forward(self, x: Tensor, emb: Tensor, kv: Iterator[KV]) -> Tensor:
        first, second = self.resnets
        attended: Tensor = self.attentions[0](first(x, emb), next(kv))
        result: Tensor = second(attended, emb)
        return result


class UpLevel(nn.Module):
    """As :class:`DownLevel`, but each residual block also takes a map of the way down; then twice the size."""

    def __init__(
        self, source: int, width: int, skips: Sequence[int], attends: bool, grow: bool, common: Common
    ) -> None:
        super().__init__()
        sources = [source] + [width] * (len(skips) - 1)
        self.resnets = nn.ModuleList(common.resnet(c + s, width) for c, s in zip(sources, skips, strict=True))
        self.attentions = nn.ModuleList(common.attention(width) for _ in sources if attends)
        self.upsamplers = nn.ModuleList([Growing(width, width, common, common.rescale)] if grow else [])

    def forward(self, x: Tensor, skips: list[Tensor], emb: Tensor, kv: Iterator[KV]) -> Tensor:
        """Takes its maps from the end of `skips`; grows to the size of the one that is then last."""
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), emb)
            if self.attentions:
                x = self.attentions[i](x, next(kv))
        for grow in self.upsamplers:
            x = grow(x, emb, (skips[-1].shape[-2], skips[-1].shape[-1]))
        return x


class IFUNet(nn.Module):
    """Predicts the noise in pixels and the share of fresh noise, given timestep and prompt."""

    use_triton = False  # its steps draw noise, which our kernel of a step does not

    def __init__(self, config: IFUNetConfig, noise_level: int = NOISE_LEVEL) -> None:
        """``noise_level`` is that of the small picture that an upscaler reads."""
        super().__init__()
        self.config, self.noise_level = config, noise_level
        common = Common(
            temb_dim=config.temb_dim,
            groups=config.norm_num_groups,
            eps=config.norm_eps,
            context_dim=config.cross_attention_dim,
            head_dim=config.attention_head_dim,
            act_time=not config.resnet_skip_time_act,
            rescale=config.resnet_out_scale_factor,
            mid_rescale=config.mid_block_scale_factor,
        )
        widths, last = config.block_out_channels, len(config.block_out_channels) - 1
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        sinusoids = widths[0], config.temb_dim, config.flip_sin_to_cos, config.freq_shift
        self.time_embedding = GeluTimeEmbedding(*sinusoids)
        self.class_embedding = GeluTimeEmbedding(*sinusoids) if config.class_embed_type else None
        self.encoder_hid_proj = nn.Linear(config.encoder_hid_dim, config.cross_attention_dim)
        heads = config.addition_embed_type_num_heads
        self.add_embedding = TextPooling(config.encoder_hid_dim, config.temb_dim, heads)
        self.down_blocks = nn.ModuleList()
        skips, source = [widths[0]], widths[0]
        for i, (width, layers, kind) in enumerate(zip(widths, config.layers, config.down_block_types, strict=True)):
            self.down_blocks.append(DownLevel(source, width, layers, DOWN_TYPES[kind], i < last, common))
            skips += [width] * (layers + (i < last))
            source = width
        self.mid_block = Middle(source, common)
        self.up_blocks = nn.ModuleList()
        for i, kind in enumerate(config.up_block_types):
            width, taken = widths[last - i], [skips.pop() for _ in range(config.layers[last - i] + 1)]
            self.up_blocks.append(UpLevel(source, width, taken, UP_TYPES[kind], i < last, common))
            source = width
        assert not skips
        self.conv_norm_out = GroupNorm(config.norm_num_groups, source, config.norm_eps, silu=False)
        self.conv_out = nn.Conv2d(source, 2 * 3, 3, padding=1)

    @property
    def num_contexts(self) -> int:
        """Length of the list from :meth:`context_kv`."""
        return 1 + len(self._attentions())

    def time_shifts(self, timesteps: Tensor, guidance_scale: float | None = None, fps: int | None = None) -> Tensor:
        """Embeddings [N, E] of the timesteps [N]; of an upscaler also of its small picture's noise level."""
        emb: Tensor = self.time_embedding(timesteps)
        if self.class_embedding is None:
            return emb
        level: Tensor = self.class_embedding(torch.full_like(timesteps[:1], self.noise_level))
        return emb + level

    def context_kv(self, context: Tensor) -> list[KV]:
        """From the encoder's raw states [B, S, D]: the halves of the text's vector, [B, E/2] each, then keys and values
        of every attention, in the order of use."""
        context = context.to(self.encoder_hid_proj.weight.dtype)
        first, second = self.add_embedding(context).chunk(2, dim=-1)
        projected = self.encoder_hid_proj(context)
        return [(first, second), *(attention.text_kv(projected) for attention in self._attentions())]

    def forward(
        self, latents: Tensor, timesteps: Tensor, context: Tensor | Sequence[KV], residuals: Sequence[Tensor] = ()
    ) -> Tensor:
        """`latents` are pixels [B, in, h, w] -> [B, 6, h, w], noise and share of fresh noise.

        `timesteps`: [1] or [B], or [1 or B, E] from `time_shifts`. `context`: the text encoder's states [B, S, D], or
        the list from `context_kv`; with n B rows the result has as many.
        """
        assert not residuals, "a ControlNet's are of Stable Diffusion"
        shifts = timesteps if timesteps.ndim == 2 else self.time_shifts(timesteps)
        kv = iter(self.context_kv(context) if isinstance(context, Tensor) else context)
        emb = shifts + torch.cat(next(kv), dim=-1)
        if self.config.time_embedding_act_fn is not None:
            emb = F.gelu(emb)
        skips = [for_branches(self.conv_in(latents), len(emb))]
        for down in self.down_blocks:
            skips += down(skips[-1], emb, kv)
        x = self.mid_block(skips[-1], emb, kv)
        for up in self.up_blocks:
            x = up(x, skips, emb, kv)
        assert not skips
        assert next(kv, None) is None, "keys and values of another network"
        prediction: Tensor = self.conv_out(F.gelu(self.conv_norm_out(x)))
        return prediction

    def _attentions(self) -> list[TextAttention]:
        # Registration order (down, middle, up) is execution order.
        return [module for module in self.modules() if isinstance(module, TextAttention)]
