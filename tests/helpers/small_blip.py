"""A small ImageReward under the names of its authors' file, each part filled by the formula on its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from acdc.bench.quality.networks.image_reward import LINEAR, WIDTHS, ImageReward
from tests.helpers.analytic import analytic

SMALL_VISION: dict[str, Any] = {
    "hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32,
    "patch_size": 16,
}  # fmt: skip
SMALL_TEXT: dict[str, Any] = {
    "vocab_size": 200, "hidden_size": 32, "encoder_hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 40,
}  # fmt: skip


def vit_shapes(width: int, layers: int, tokens: int, patch: int, inner: int) -> dict[str, Tensor]:
    """Empty tensors under the names of timm's vision transformer, which DINO and BLIP share."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    linear = {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc1": (inner, width),
        "mlp.fc2": (width, inner),
    }
    for layer in range(layers):
        for name, shape in linear.items():
            shapes |= {f"blocks.{layer}.{name}.weight": shape, f"blocks.{layer}.{name}.bias": shape[:1]}
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{layer}.{norm}.weight": (width,), f"blocks.{layer}.{norm}.bias": (width,)}
    return {name: torch.empty(shape) for name, shape in shapes.items()}


def original_parts() -> dict[str, dict[str, Tensor]]:
    """Prefix of a part -> its tensors."""
    vision = vit_shapes(48, 2, 5, 16, 192)
    text = ImageReward(SMALL_VISION, SMALL_TEXT).text.state_dict()
    text = {**text, "embeddings.position_ids": torch.arange(40)[None]}
    widths = (32, *WIDTHS)
    layers: dict[str, Tensor] = {}
    for place, before, after in zip(LINEAR, widths, WIDTHS, strict=False):
        layers |= {f"layers.{place}.weight": torch.empty(after, before), f"layers.{place}.bias": torch.empty(after)}
    return {"blip.visual_encoder": analytic(vision), "blip.text_encoder": analytic(text), "mlp": analytic(layers)}
