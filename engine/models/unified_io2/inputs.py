"""Vectors of what the encoder reads: text, the last frame, earlier frames. Names are those of the published file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import UnifiedIO2Config
from .resampler import Resampler
from .vit import VisionTransformer

VIT = "vision_transformer"  # its place in the published names


class Modality(nn.Module):
    """A learned vector that is added to all of one kind of input or target."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modality_embedding = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return x + self.modality_embedding


class ImageInput(Modality):
    """The last frame: a vector a patch."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__(config.width)
        self.patches = config.image_patches
        self.image_encoder = nn.ModuleDict({VIT: VisionTransformer(config.vit)})
        self.projection = nn.Linear(2 * config.vit.width, config.width, bias=False)

    @property
    def vit(self) -> VisionTransformer:
        """The image transformer, which also reads earlier frames."""
        found: VisionTransformer = self.image_encoder[VIT]  # type: ignore[assignment]
        return found

    def vectors(self, pictures: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> [B, patches^2, D]."""
        seen = torch.cat(self.vit(pictures, self.patches), -1)
        return self(self.projection(seen.to(self.projection.weight.dtype)))


class HistoryInput(Modality):
    """Earlier frames: a few vectors each."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__(config.width)
        self.patches, width = config.history_patches, config.resampler.width
        self.pre_projection = nn.Linear(config.vit.width, width, bias=False)
        self.resampler = nn.ModuleDict({"perceiver": Resampler(config.resampler)})
        self.post_projection = nn.Linear(width, config.width, bias=False)

    def vectors(self, pictures: Tensor, vit: VisionTransformer) -> Tensor:
        """uint8 [B, 3, H, W] -> [B, latents, D]."""
        seen = vit(pictures, self.patches)[0].to(self.pre_projection.weight.dtype)
        return self(self.post_projection(self.resampler["perceiver"](self.pre_projection(seen))))
