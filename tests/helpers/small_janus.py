"""A small Janus-Pro as transformers saves it: its modules, random, and a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

from acdc.engine.models.janus.text import ASSISTANT, BOS, IMAGE, PAD, USER
from tests.helpers import published_directory
from tests.helpers.published_directory import byte_tokenizer

SIDE = 4  # codes


def peer(seed: int = 0) -> Any:
    """transformers' Janus at a small random size, its codebook of unit vectors, in float64."""
    from transformers import JanusConfig, JanusForConditionalGeneration

    config = JanusConfig(
        text_config={
            "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "vocab_size": 300, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        },
        vision_config={
            "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8, "patch_size": 2,
            "projection_dim": 32, "num_image_tokens": SIDE**2,
        },
        vq_config={
            "embed_dim": 4, "num_embeddings": 24, "latent_channels": 32, "base_channels": 32,
            "channel_multiplier": [1, 2], "num_res_blocks": 1, "projection_dim": 32, "image_token_embed_dim": 32,
        },
    )  # fmt: skip
    torch.manual_seed(seed)
    model = JanusForConditionalGeneration(config).double().eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1 and "vqmodel" not in name:
                value.normal_(0, 0.3)  # transformers' own are so small that all logits are alike
        book = model.model.vqmodel.quantize.embedding.weight
        book.copy_(F.normalize(torch.randn_like(book), dim=-1))
    return model


def tokenizer() -> Tokenizer:
    """Bytes and the special tokens."""
    return byte_tokenizer((BOS, PAD, USER, ASSISTANT, IMAGE))


def save(model: Any, folder: Path) -> Path:
    """The directory of it."""
    return published_directory.save(model, tokenizer(), folder)
