"""A small Janus-Pro as transformers saves it: its modules, random, and a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional as F

from acdc.engine.models.janus.text import ASSISTANT, BOS, IMAGE, PAD, USER

SENTENCES = ["A beagle sat in a garden.", "He ran."]
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
    """Bytes, a few merges, and the special tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(SENTENCES, trainer)
    made.add_special_tokens([AddedToken(name, normalized=False) for name in (BOS, PAD, USER, ASSISTANT, IMAGE)])
    return made


def save(model: Any, folder: Path) -> Path:
    """The directory of it."""
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found
