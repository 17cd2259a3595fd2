"""DINO's ViT-B/16 (arXiv 2104.14294), through transformers' ViTModel: what VBench sees a subject with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..network import Compute, Network
from .find import find_file, need_transformers
from .preprocess import IMAGENET_MEAN, IMAGENET_STD, normalized, plain_resize, shorter_side, to_float
from .renaming import Rule, renamed
from .weights_file import fill, read_weights

if TYPE_CHECKING:
    from transformers import ViTModel

FILE = "dino_vitbase16_pretrain.pth"
SOURCE = "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"
SIZES: Mapping[str, Any] = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "image_size": 224, "patch_size": 16,
}  # fmt: skip
EPS, SIDE = 1e-6, 224
RULES: tuple[Rule, ...] = (
    (r"cls_token", "embeddings.cls_token"),
    (r"pos_embed", "embeddings.position_embeddings"),
    (r"patch_embed\.proj\.(\w+)", r"embeddings.patch_embeddings.projection.\1"),
    (r"blocks\.(\d+)\.attn\.qkv\.(\w+)", r"layers.\1.attention.{part}_proj.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(\w+)", r"layers.\1.attention.o_proj.\2"),
    (r"blocks\.(\d+)\.norm1\.(\w+)", r"layers.\1.layernorm_before.\2"),
    (r"blocks\.(\d+)\.norm2\.(\w+)", r"layers.\1.layernorm_after.\2"),
    (r"blocks\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"layers.\1.mlp.\2.\3"),
    (r"norm\.(\w+)", r"layernorm.\1"),
)


def load_dino(path: Path, sizes: Mapping[str, Any] = SIZES) -> ViTModel:
    """The network in float32; ``ValueError`` (one line: file, key) for weights that do not fit."""
    from transformers import ViTConfig, ViTModel  # an extra, and slow to import

    model = ViTModel(ViTConfig(**sizes, layer_norm_eps=EPS), add_pooling_layer=False).eval()
    fill(model, path, renamed(read_weights(path), RULES))
    return model


def prepared(picture: NDArray[np.uint8]) -> Tensor:
    """[1, 3, H, W]: the shorter side 224, nothing cropped."""
    height, width = shorter_side(picture.shape[0], picture.shape[1], SIDE)
    pixels = plain_resize(to_float(picture), height, width, "bilinear") / 255
    return normalized(pixels, IMAGENET_MEAN, IMAGENET_STD)


class DINOFeatures(Network):
    """The class token of frames after the last norm, as :class:`..network.Network`."""

    name = "DINO ViT-B/16"
    preprocessing = "bilinear without antialiasing, shorter side 224, not cropped, ImageNet mean and deviation"
    batch = 16

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`."""
        need_transformers()
        return {FILE: find_file(self.models, FILE, SOURCE)}

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`; frames of one size are computed together."""
        model = load_dino(self.files()[FILE]).to(device)

        def compute(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            return by_size([prepared(picture) for picture in pictures], lambda pixels: tokens(model, pixels.to(device)))

        return compute


def tokens(model: ViTModel, pixels: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, D]; the grid of positions is stretched to other sizes than the network's own."""
    found = model(pixel_values=pixels, interpolate_pos_encoding=True)
    return torch.as_tensor(found.last_hidden_state[:, 0])


def by_size(pixels: Sequence[Tensor], compute: Any) -> NDArray[np.float32]:
    """Rows of ``compute`` for tensors [1, 3, H, W] of any sizes, in their order; equal sizes go together."""
    rows: list[NDArray[np.float32] | None] = [None] * len(pixels)
    for shape in dict.fromkeys(one.shape for one in pixels):
        places = [place for place, one in enumerate(pixels) if one.shape == shape]
        found = compute(torch.cat([pixels[place] for place in places])).cpu().numpy()
        for place, row in zip(places, found, strict=True):
            rows[place] = row
    return np.stack([row for row in rows if row is not None])
