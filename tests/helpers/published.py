"""Small configs of the published kinds, our networks and the libraries' own with the same random weights."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from acdc.engine.models.diffusion.clip_tokenizer import END, START
from acdc.engine.models.diffusion.unet import UNet, UNetConfig
from acdc.engine.models.diffusion.vae import VAE, VAEConfig

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
DTYPES = list(TOLERANCE)

UNETS: dict[str, dict[str, Any]] = {
    "sd1-like": {
        "block_out_channels": [16, 32, 48, 48],
        "norm_num_groups": 8,
        "cross_attention_dim": 24,
        "attention_head_dim": 8,
    },
    "sd2-like": {
        "block_out_channels": [16, 32, 48, 48],
        "norm_num_groups": 8,
        "cross_attention_dim": 20,
        "attention_head_dim": [1, 2, 3, 6],
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "bundle-like": {
        "block_out_channels": [16, 32],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "norm_eps": 1e-6,
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "transformer_layers_per_block": 2,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
    },
    "three levels": {
        "in_channels": 5,
        "out_channels": 3,
        "block_out_channels": [8, 24, 16],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 3,
        "norm_num_groups": 8,
        "cross_attention_dim": 12,
        "attention_head_dim": 4,
    },
}
VAES: dict[str, dict[str, Any]] = {
    "four levels": {"block_out_channels": [8, 8, 16, 16], "norm_num_groups": 4, "layers_per_block": 2},
    "no attention": {
        "block_out_channels": [8, 16],
        "norm_num_groups": 4,
        "mid_block_add_attention": False,
        "scaling_factor": 0.5,
    },
    "bare": {
        "block_out_channels": [8, 16, 24],
        "norm_num_groups": 8,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "latent_channels": 3,
    },
}
TEXT = {
    "vocab_size": 600,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
}
for _name, _config in VAES.items():
    _levels = len(_config["block_out_channels"])
    _config |= {
        "down_block_types": ["DownEncoderBlock2D"] * _levels,
        "up_block_types": ["UpDecoderBlock2D"] * _levels,
    }


def randomise(module: nn.Module) -> nn.Module:
    """The same weights each time, and norms that are not the identity, which would hide swapped ones."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim == 1:
                p.copy_(0.1 * noise + (1 if name.endswith("weight") else 0))
            else:
                p.copy_(noise / p[0].numel() ** 0.5)
    return module.eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> None:
    assert ours.dtype == theirs.dtype == dtype
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= TOLERANCE[dtype] * theirs.abs().max().clamp(min=1)


def unet_pair(name: str, dtype: torch.dtype) -> tuple[UNet, nn.Module]:
    theirs = randomise(diffusers.UNet2DConditionModel(**UNETS[name])).to(dtype)
    ours = UNet(UNetConfig.from_dict(theirs.config)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def vae_pair(name: str, dtype: torch.dtype) -> tuple[VAE, Any]:
    theirs = randomise(diffusers.AutoencoderKL(**VAES[name])).to(dtype)
    ours = VAE(VAEConfig.from_dict(theirs.config)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


WORDS = ["benny", "beagle", "garden", "the", "sat", "in", "a", "vibrant", "don't", "ü"]


def small_bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """All bytes, alone and at the end of a word, and the merges that build a few words."""
    alphabet = sorted(ByteLevel.alphabet())
    pieces = [*alphabet, *(c + "</w>" for c in alphabet)]
    merges: list[tuple[str, str]] = []
    byte_level = ByteLevel(add_prefix_space=False)
    for word in WORDS:
        letters = list(byte_level.pre_tokenize_str(word)[0][0])
        letters[-1] += "</w>"
        left = letters[0]
        for right in letters[1:]:
            if (left, right) not in merges:
                merges.append((left, right))
            left += right
    pieces += dict.fromkeys(a + b for a, b in merges)
    return {piece: i for i, piece in enumerate([*pieces, START, END])}, merges


def write_tokenizer(folder: Path, length: int = 16, pad: str = END) -> None:
    vocab, merges = small_bpe()
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(m) for m in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")

    def token(content: str) -> dict[str, Any]:
        flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        return {"__type": "AddedToken", "content": content} | flags

    names = {"bos_token": token(START), "eos_token": token(END), "unk_token": token(END)}
    config = names | {"model_max_length": length, "pad_token": END, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    special = {k: {n: f for n, f in v.items() if n != "__type"} for k, v in names.items()}
    (folder / "special_tokens_map.json").write_text(json.dumps(special | {"pad_token": pad}))


@cache
def load_theirs(folder: Path) -> Any:
    """transformers' tokenizer of a folder; read once, hypothesis asks often."""
    return transformers.CLIPTokenizer.from_pretrained(str(folder))
