"""A small Emu3 as transformers saves it: its modules, random, and a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from acdc.engine.models.emu3.text import BOS, CODE, EOL, IMAGE, START
from tests.helpers import published_directory
from tests.helpers.published_directory import byte_tokenizer

SIDE, CODES = 4, 24


def tokenizer() -> Tokenizer:
    """Bytes and the special tokens."""
    return byte_tokenizer((EOL, BOS, "<image>", START, IMAGE, *(CODE.format(code) for code in range(CODES))))


def peer(seed: int = 0) -> Any:
    """transformers' Emu3 at a small random size in float64."""
    from transformers import Emu3Config, Emu3ForConditionalGeneration

    vocabulary = tokenizer().get_vocab()
    config = Emu3Config(
        text_config={
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": len(vocabulary) + 3, "max_position_embeddings": 900,
            "bos_token_id": vocabulary[BOS], "pad_token_id": 0, "eos_token_id": None,
        },
        vq_config={
            "codebook_size": CODES, "embed_dim": 4, "latent_channels": 4, "base_channels": 32,
            "channel_multiplier": [1, 2], "num_res_blocks": 1, "attn_resolutions": [1], "hidden_size": 64,
        },
        vocabulary_map=vocabulary,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Emu3ForConditionalGeneration(config).double().eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1 and "vqmodel" not in name:
                value.normal_(0, 0.25)  # transformers' own are so small that all logits are alike
        for name, value in model.named_buffers():
            if "running" in name:
                value.uniform_(0.5, 1.5)
        model.model.vqmodel.quantize.embedding.weight.normal_()
    return model


def save(model: Any, folder: Path) -> Path:
    """The directory of it."""
    return published_directory.save(model, tokenizer(), folder)
