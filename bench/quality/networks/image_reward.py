"""ImageReward (arXiv 2304.05977): how much people would like a picture for a text, about N(0, 1).

BLIP's picture encoder and text encoder through transformers, then five linear layers without activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from torch import Tensor, nn

from ..network import Compute, Network
from .find import find_file, need_transformers
from .preprocess import CLIP_MEAN, CLIP_STD, pil_square
from .renaming import Rule, renamed
from .weights_file import fill, read_weights

FILE, VOCABULARY = "ImageReward.pt", "vocab.txt"
REPOSITORY, TOKENIZER = "THUDM/ImageReward", "bert-base-uncased"
MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
LENGTH, ADDED, SIZE = 35, 2, 224  # tokens; [DEC] and [ENC], which the vocabulary's file lacks; pixels a side
VISION: Mapping[str, Any] = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": SIZE, "patch_size": 16,
}  # fmt: skip
TEXT: Mapping[str, Any] = {
    "vocab_size": 30524, "hidden_size": 768, "encoder_hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 512,
}  # fmt: skip
WIDTHS = (1024, 128, 64, 16, 1)
LINEAR = (0, 2, 4, 6, 7)  # places of the layers among the dropouts of the training
RULES: tuple[Rule, ...] = (
    (r"blip\.(vision_proj|text_proj|itm_head)\..*", ""),
    (r"blip\.text_encoder\.embeddings\.position_ids", ""),
    (r"blip\.text_encoder\.(.*)", r"text.\1"),
    (r"blip\.visual_encoder\.patch_embed\.proj\.(\w+)", r"vision.embeddings.patch_embedding.\1"),
    (r"blip\.visual_encoder\.cls_token", "vision.embeddings.class_embedding"),
    (r"blip\.visual_encoder\.pos_embed", "vision.embeddings.position_embedding"),
    (r"blip\.visual_encoder\.blocks\.(\d+)\.attn\.qkv\.(\w+)", r"vision.encoder.layers.\1.self_attn.qkv.\2"),
    (r"blip\.visual_encoder\.blocks\.(\d+)\.attn\.proj\.(\w+)", r"vision.encoder.layers.\1.self_attn.projection.\2"),
    (r"blip\.visual_encoder\.blocks\.(\d+)\.norm([12])\.(\w+)", r"vision.encoder.layers.\1.layer_norm\2.\3"),
    (r"blip\.visual_encoder\.blocks\.(\d+)\.mlp\.(.*)", r"vision.encoder.layers.\1.mlp.\2"),
    (r"blip\.visual_encoder\.norm\.(\w+)", r"vision.post_layernorm.\1"),
    (r"mlp\.layers\.(.*)", r"mlp.\1"),
)


class ImageReward(nn.Module):
    """Picture and text -> reward."""

    def __init__(self, vision: Mapping[str, Any] = VISION, text: Mapping[str, Any] = TEXT) -> None:
        from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel  # an extra, and slow to import
        from transformers.models.blip.modeling_blip_text import BlipTextModel

        super().__init__()
        self.vision = BlipVisionModel(BlipVisionConfig(**vision, layer_norm_eps=1e-6, hidden_act="gelu"))
        settings = BlipTextConfig(**text, layer_norm_eps=1e-12, is_decoder=True)
        self.text = BlipTextModel(settings, add_pooling_layer=False)
        widths = (text["hidden_size"], *WIDTHS)
        layers = {str(place): nn.Linear(a, b) for place, a, b in zip(LINEAR, widths, WIDTHS, strict=False)}
        self.mlp = nn.ModuleDict(layers)

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """[N, 3, H, W], ids and mask [N, T] -> [N]."""
        seen = self.vision(pixel_values=pixels).last_hidden_state
        everything = torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device)
        read = self.text(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=everything,
            is_decoder=False,  # attention looks both ways
        )
        x = read.last_hidden_state[:, 0]
        for layer in self.mlp.values():
            x = layer(x)
        return torch.as_tensor((x[:, 0] - MEAN) / DEVIATION)


def load_image_reward(path: Path, vision: Mapping[str, Any] = VISION, text: Mapping[str, Any] = TEXT) -> ImageReward:
    """The network in float32; ``ValueError`` (one line: file, key) for weights that do not fit."""
    model = ImageReward(vision, text).eval()
    fill(model, path, renamed(read_weights(path), RULES))
    return model


def load_tokenizer(path: Path, size: int = TEXT["vocab_size"]) -> BertWordPieceTokenizer:
    """BERT's word pieces, cut and filled to 35. ``ValueError`` for a vocabulary of another size."""
    try:
        tokenizer = BertWordPieceTokenizer(str(path), lowercase=True)
    except Exception as error:  # the library raises a bare Exception
        raise ValueError(f"{path}: not a vocabulary of word pieces ({' '.join(str(error).split())[:200]})") from None
    if tokenizer.get_vocab_size() != size - ADDED:
        raise ValueError(f"{path}: it has {tokenizer.get_vocab_size()} pieces, expected {size - ADDED}")
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    return tokenizer


class Rewards(Network):
    """The reward of a frame for its text, as :class:`..network.Network` of pairs."""

    name = "ImageReward"
    preprocessing = "PIL bicubic 224, centre crop, CLIP mean and deviation; 35 word pieces"
    batch = 16

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`."""
        need_transformers()
        source = f"hf download {REPOSITORY} {FILE}"
        words = f"hf download {TOKENIZER} {VOCABULARY}, into {TOKENIZER} under --models"
        return {
            FILE: find_file(self.models, FILE, source, REPOSITORY),
            VOCABULARY: find_file(self.models, VOCABULARY, words, f"google-bert/{TOKENIZER}"),
        }

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`."""
        files = self.files()
        model, tokenizer = load_image_reward(files[FILE]).to(device), load_tokenizer(files[VOCABULARY])

        def compute(pairs: Sequence[tuple[NDArray[np.uint8], str]]) -> NDArray[np.float32]:
            pixels = pil_square([picture for picture, _ in pairs], SIZE, CLIP_MEAN, CLIP_STD)
            encoded = tokenizer.encode_batch([text for _, text in pairs])
            ids, mask = (torch.tensor([getattr(one, name) for one in encoded]) for name in ("ids", "attention_mask"))
            return np.asarray(model(pixels.to(device), ids.to(device), mask.to(device))[:, None].cpu().numpy())

        return compute
