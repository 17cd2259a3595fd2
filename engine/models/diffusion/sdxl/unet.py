"""The denoising network of Stable Diffusion XL (arXiv 2307.01952): Stable Diffusion's, with transformers of different
depths and an embedding of the whole prompt and of the picture's size, which is added to the timestep's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import refuse
from ..unet import FIXED, UNet, UNetConfig
from ..unet_blocks import sinusoids

SIZES = 6  # numbers that say how a training picture was cut: height and width before, top, left, height and width after


@dataclass(frozen=True)
class SDXLUNetConfig(UNetConfig):
    """The fields of a UNet with added conditions, with the published names and the sizes of SDXL's base."""

    FIXED: ClassVar[Mapping[str, tuple[Any, ...]]] = {**FIXED, "addition_embed_type": ("text_time",)}

    addition_time_embed_dim: int = 256
    projection_class_embeddings_input_dim: int = 2816

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], where: str = "UNet config") -> SDXLUNetConfig:
        """As for any UNet. The published config holds a null where other UNets hold ``upcast_attention: false``."""
        return super().from_dict({k: v for k, v in config.items() if (k, v) != ("upcast_attention", None)}, where)

    def check(self, where: str) -> None:
        super().check(where)
        if self.embeds_guidance:
            refuse(where, "time_cond_proj_dim", self.time_cond_proj_dim, "null")
        if self.addition_time_embed_dim % 2:
            refuse(where, "addition_time_embed_dim", self.addition_time_embed_dim, "an even number")
        if self.pooled_dim < 1:
            least = SIZES * self.addition_time_embed_dim + 1
            found = self.projection_class_embeddings_input_dim
            refuse(where, "projection_class_embeddings_input_dim", found, f"{least} or more")

    @property
    def pooled_dim(self) -> int:
        """Length of the vector that holds the whole prompt."""
        return self.projection_class_embeddings_input_dim - SIZES * self.addition_time_embed_dim


class AddedEmbedding(nn.Module):
    """The prompt's vector and the sinusoids of the sizes through a two-layer network."""

    def __init__(self, config: SDXLUNetConfig, out_dim: int) -> None:
        super().__init__()
        self.waves, self.flip, self.shift = (
            config.addition_time_embed_dim // 2, config.flip_sin_to_cos, config.freq_shift
        )  # fmt: skip
        self.linear_1 = nn.Linear(config.projection_class_embeddings_input_dim, out_dim)
        self.linear_2 = nn.Linear(out_dim, out_dim)

    def forward(self, pooled: Tensor, sizes: Tensor) -> Tensor:
        """``pooled`` [B, pooled_dim], ``sizes`` [B, 6] in pixels -> [B, E]."""
        waves = sinusoids(sizes.flatten(), self.waves, self.flip, self.shift).unflatten(0, sizes.shape).flatten(1)
        return self.linear_2(F.silu(self.linear_1(torch.cat((pooled, waves.to(pooled.dtype)), -1))))


class SDXLUNet(UNet):
    """Predicts the noise (or x0, as the weights were trained) in latents, given timestep, prompt and sizes."""

    def __init__(self, config: SDXLUNetConfig) -> None:
        super().__init__(config)
        self.add_embedding = AddedEmbedding(config, self.common.temb_dim)

    def prompt_shifts(self, timesteps: Tensor, pooled: Tensor, sizes: Tensor) -> Tensor:
        """Shifts of all ResNet blocks at each of the timesteps [N], for the picture of one prompt: ``pooled``
        [1, pooled_dim] and ``sizes`` [1, 6] -> [N, P], in the place of :meth:`time_shifts`."""
        return self.shifts_of(self.time_embedding(timesteps) + self.add_embedding(pooled, sizes))

    def embed_time(self, timesteps: Tensor, guidance_scale: float | None, fps: int | None) -> Tensor:
        raise TypeError("SDXL's time embedding also reads the prompt: use prompt_shifts")
