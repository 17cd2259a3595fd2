"""The image transformer: CLIP's B/16 without its last layer, whose patches are the pictures that the encoder reads.

A picture of p x p patches has p^2 vectors: those after the last layer, and those after the second. The class token is
computed with them and dropped. Positions were learned at 14 x 14 patches and are resized to p x p.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ViTConfig

NORM_EPS = 1e-5
SECOND = 1  # the layer whose output is read besides the last one's
MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's, of pixels in [0, 1]
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class ViTAttention(nn.Module):
    """Multi-head attention of all with all."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads, width = config.heads, config.width
        for name in ("query", "key", "value"):
            self.register_parameter(f"{name}_in_proj_weight", nn.Parameter(torch.empty(width, width)))
            self.register_parameter(f"{name}_in_proj_bias", nn.Parameter(torch.empty(width)))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = ((self.get_parameter(f"{n}_in_proj_weight"), self.get_parameter(f"{n}_in_proj_bias"))
                 for n in ("query", "key", "value"))  # fmt: skip
        q, k, v = (F.linear(x, *part).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        out: Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class ViTMLP(nn.Module):
    """fc2(gelu(fc1 x)), with the exact GELU."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(config.width, config.mlp), nn.Linear(config.mlp, config.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class ViTBlock(nn.Module):
    """One pre-norm layer."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(config.width, eps=NORM_EPS) for _ in range(2))
        self.attn, self.mlp = ViTAttention(config), ViTMLP(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class VisionTransformer(nn.Module):
    """Pictures to vectors of their patches; it computes in float32 at least, as published."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.class_embedding = nn.Parameter(torch.empty(config.width))
        self.positional_embedding = nn.Parameter(torch.empty(1 + config.positions**2, config.width))
        self.embedding = nn.Linear(3 * config.patch**2, config.width, bias=False)
        self.pre_ln = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(ViTBlock(config) for _ in range(config.layers))})

    def forward(self, pictures: Tensor, patches: int) -> tuple[Tensor, Tensor]:
        """``pictures`` uint8 [B, 3, H, W] -> vectors [B, patches^2, width] after the last and the second layer."""
        x = self.embedding(self._patches(pictures, patches))
        token = self.class_embedding.expand(len(x), 1, -1)
        x = self.pre_ln(torch.cat((token, x), 1) + self._positions(patches))
        second = x
        for layer, block in enumerate(self.transformer["resblocks"].children()):
            x = block(x)
            second = x if layer == SECOND else second
        return x[:, 1:], second[:, 1:]

    def _patches(self, pictures: Tensor, patches: int) -> Tensor:
        """[B, patches^2, 3 patch^2], a patch by row, column and channel."""
        like, size = self.positional_embedding, patches * self.config.patch
        mean, deviation = (torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
                           for values in (MEAN, DEVIATION))  # fmt: skip
        x = pictures.to(like.dtype) / 255
        if x.shape[-2:] != (size, size):
            x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
        x = ((x - mean) / deviation).unflatten(3, (patches, -1)).unflatten(2, (patches, -1))
        return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def _positions(self, patches: int) -> Tensor:
        """[1 + patches^2, width], of the class token and the patches."""
        learned, side = self.positional_embedding, self.config.positions
        if patches == side:
            return learned
        grid = learned[1:].T.unflatten(1, (side, side))[None]
        grid = F.interpolate(grid, (patches, patches), mode="bicubic", align_corners=False, antialias=True)
        return torch.cat((learned[:1], grid[0].flatten(1).T))
