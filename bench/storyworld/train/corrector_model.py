"""The diffusion model of the embedded bundle: a small UNet2DConditionModel and a CLIPTextModel, trained as one.

The modules are diffusers' and transformers' own, so a checkpoint is a Stable Diffusion directory; only the way they
are run in training differs: bfloat16 weights over float32 masters, plain matrix products for the attention (the
CPU's flash attention is slow backwards for 64 tokens), a fused group norm and, in float32, Winograd's convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.func import functional_call
from transformers import CLIPTextConfig, CLIPTextModel

from .caption_tokenizer import MODEL_MAX_LENGTH
from .fused_norm import FusedGroupNorm
from .precision import compute_dtype
from .winograd import WinogradConv2d


@dataclass(frozen=True)
class CorrectorSize:
    """Widths of the two networks; `heads` are `head_dim` wide everywhere."""

    channels: tuple[int, ...] = (64, 128)
    layers_per_block: int = 1
    attention_levels: tuple[bool, ...] = (False, True)
    head_dim: int = 32
    norm_num_groups: int = 32
    text_hidden: int = 128
    text_layers: int = 2
    latent_size: int = 16


def build_unet(size: CorrectorSize) -> Any:
    """The UNet2DConditionModel with random weights."""
    levels = list(zip(size.channels, size.attention_levels, strict=True))
    return UNet2DConditionModel(
        sample_size=size.latent_size,
        in_channels=4,
        out_channels=4,
        block_out_channels=size.channels,
        layers_per_block=size.layers_per_block,
        down_block_types=tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for _, attends in levels),
        up_block_types=tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for _, attends in reversed(levels)),
        cross_attention_dim=size.text_hidden,
        # diffusers' name for what is the number of heads of each level
        attention_head_dim=tuple(channels // size.head_dim for channels in size.channels),
        norm_num_groups=size.norm_num_groups,
    )


def build_text_encoder(size: CorrectorSize, vocab_size: int) -> CLIPTextModel:
    """The text encoder with random weights; start and end are the last two ids of the vocabulary."""
    options: dict[str, Any] = {"attn_implementation": "eager"}  # plain products, as in the UNet
    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=size.text_hidden,
        intermediate_size=4 * size.text_hidden,
        projection_dim=size.text_hidden,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.text_hidden // 32,
        max_position_embeddings=MODEL_MAX_LENGTH,
        bos_token_id=vocab_size - 2,
        eos_token_id=vocab_size - 1,
        pad_token_id=vocab_size - 1,
        **options,
    )
    return CLIPTextModel(config)


class _MatmulAttention:
    """Attention processor of plain batched products, softmax in float32; diffusers' calling convention."""

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: object
    ) -> Tensor:
        x = hidden_states  # [B, S, C]
        context = x if encoder_hidden_states is None else encoder_hidden_states
        batch, length, _channels = x.shape

        def split(t: Tensor) -> Tensor:  # [B, S, H * D] -> [B * H, S, D]
            return t.unflatten(-1, (attn.heads, -1)).transpose(1, 2).flatten(0, 1)

        q, k, v = split(attn.to_q(x)), split(attn.to_k(context)), split(attn.to_v(context))
        scores = torch.bmm(q * q.shape[-1] ** -0.5, k.transpose(1, 2))
        out = torch.bmm(scores.float().softmax(-1).to(v.dtype), v)
        out = out.view(batch, attn.heads, length, -1).transpose(1, 2).reshape(batch, length, -1)
        result: Tensor = attn.to_out[0](out)
        return result


class _Resnet(ResnetBlock2D):
    """The block without resampling, its SiLUs in the norms and without the division by a scale of 1."""

    def forward(self, input_tensor: Tensor, temb: Tensor, *_: object, **__: object) -> Tensor:
        """[B, C, h, w] and the time embedding [B, E] to [B, C', h, w]."""
        h = self.conv1(self.norm1(input_tensor)) + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(self.norm2(h))
        shortcut: Tensor = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        return shortcut + h


def prepare_for_training(unet: Any) -> None:
    """Exchange slow parts of `unet` in place for equal fast ones; names of parameters stay."""
    unet.set_attn_processor(_MatmulAttention())
    for module in unet.modules():
        if type(module) is nn.GroupNorm:
            module.__class__ = FusedGroupNorm
        elif type(module) is nn.Conv2d:
            module.__class__ = WinogradConv2d
    for module in unet.modules():
        if type(module) is ResnetBlock2D:
            assert module.time_embedding_norm == "default"
            assert module.output_scale_factor == 1
            module.__class__ = _Resnet
            for norm in (module.norm1, module.norm2):
                assert isinstance(norm, FusedGroupNorm)
                norm.silu = True
    unet.conv_norm_out.silu = True
    unet.conv_act = nn.Identity()
    unet.to(memory_format=torch.channels_last)


def load_weights(model: Corrector, folder: Path) -> None:
    """Continue from an exported Stable Diffusion directory of the same sizes."""
    unet: Any = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    text_encoder: Any = CLIPTextModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32)
    model.unet.load_state_dict(unet.state_dict())
    model.text_encoder.load_state_dict(text_encoder.state_dict())


class Corrector(nn.Module):
    """Both networks; `forward` predicts v for noisy latents under caption ids."""

    def __init__(self, size: CorrectorSize, vocab_size: int, fast: bool = True) -> None:
        super().__init__()
        self.unet = build_unet(size)
        self.text_encoder = build_text_encoder(size, vocab_size)
        if fast:
            prepare_for_training(self.unet)

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """[B, 4, h, w], [B], [B, 77] -> v [B, 4, h, w]."""
        text = self.text_encoder(ids).last_hidden_state  # [B, 77, C]
        latents = latents.to(text.dtype, memory_format=torch.channels_last)
        v: Tensor = self.unet(latents, timesteps, text, return_dict=False)[0]
        return v

    def low_precision(
        self, latents: Tensor, timesteps: Tensor, ids: Tensor, weights: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """`forward` with low-precision copies of `weights` (own parameters if None); gradients reach the originals."""
        named = dict(self.named_parameters()) if weights is None else weights
        dtype = compute_dtype(latents.device.type)
        copies = {name: value.to(dtype) for name, value in named.items()}
        v: Tensor = functional_call(self, copies, (latents, timesteps, ids))
        return v.float()
