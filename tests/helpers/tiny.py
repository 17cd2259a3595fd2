"""A complete bundle with small random weights, so that every path of the engine runs in tests within milliseconds."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

from acdc.engine.models.diffusion.clip_text import CLIPText, CLIPTextConfig
from acdc.engine.models.diffusion.controlnet import ControlNet, ControlNetConfig
from acdc.engine.models.diffusion.unet import UNet, UNetConfig
from acdc.engine.models.diffusion.vae import VAE, VAEConfig
from acdc.engine.models.lwm.model import LWM, LWMConfig
from acdc.engine.models.tokenizers.vqgan import VQGAN, VQGANConfig

GRID, CODES = 4, 32
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


def tiny_bundle(directory: Path, seed: int = 0, grid: int = GRID) -> Path:
    """Write the bundle into ``directory`` (16 px pictures, 4x4 codes of 32, latents 4x4x4) and return it. A ``grid`` of
    2 is for tests that draw often: 8 px pictures of 2x2 codes."""
    torch.manual_seed(seed)
    _write_arm(directory / "arm", grid)
    _write_tokenizer(directory / "tokenizer", grid)
    _write_corrector(directory / "corrector")
    parts = {"arm": "arm", "tokenizer": "tokenizer", "corrector": "corrector"}
    defaults = {"guidance_scale": 3.0, "context": "window"}
    _json(directory / "bundle.json", {"format": 1, "name": "tiny", **parts, "defaults": defaults})
    return directory


def _write_arm(directory: Path, grid: int) -> None:
    config = LWMConfig(layers=2, hidden=32, ffn=64, heads=2, text_vocab=259, vision_vocab=CODES + 2, rope_theta=1e4)
    stream = {"codes_per_frame": grid**2, "codebook_size": CODES, "eof": CODES, "bos": [1], "vision": [2]}
    stream |= {"max_text_tokens": 400, "context": "window", "recent_frames": 2}
    _save(LWM(config), directory / "model.safetensors", spread=2.0)
    _json(directory / "config.json", {"format": 1, "family": "lwm", "stream": stream, "transformer": asdict(config)})
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate(["<pad>", "<s>", "<vision>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<pad>", "<s>", "<vision>"])
    tokenizer.save(str(directory / "tokenizer.json"))


def _write_tokenizer(directory: Path, grid: int) -> None:
    config = VQGANConfig(
        resolution=4 * grid, base_channels=8, channel_multipliers=(1, 1, 2), num_res_blocks=1, z_channels=4,
        codebook_size=CODES, num_groups=4,
    )  # fmt: skip
    _save(VQGAN(config), directory / "model.safetensors")
    _json(directory / "config.json", config.to_dict())


def _write_corrector(directory: Path) -> None:
    vae = VAEConfig(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16), norm_num_groups=4, scaling_factor=0.5,
    )  # fmt: skip
    unet = UNetConfig(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16, attention_head_dim=2,
    )  # fmt: skip
    text = CLIPTextConfig(
        vocab_size=514, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    _save(VAE(vae), directory / "vae" / "diffusion_pytorch_model.safetensors")
    _save(UNet(unet), directory / "unet" / "diffusion_pytorch_model.safetensors")
    _save(CLIPText(text), directory / "text_encoder" / "model.safetensors")
    _json(directory / "vae" / "config.json", {"_class_name": "AutoencoderKL", **asdict(vae)})
    written = {"_class_name": "UNet2DConditionModel", "sample_size": 16, **asdict(unet)}
    _json(directory / "unet" / "config.json", written)
    _json(directory / "text_encoder" / "config.json", {"model_type": "clip_text_model", **asdict(text)})
    _json(directory / "scheduler" / "scheduler_config.json", SCHEDULER)
    _write_clip_tokenizer(directory / "tokenizer")
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", "safety_checker": [None, None]}
    for name, library, kind in (
        ("vae", "diffusers", "AutoencoderKL"), ("unet", "diffusers", "UNet2DConditionModel"),
        ("text_encoder", "transformers", "CLIPTextModel"), ("tokenizer", "transformers", "CLIPTokenizer"),
        ("scheduler", "diffusers", "DDIMScheduler"),
    ):  # fmt: skip
        index[name] = [library, kind]
    _json(directory / "model_index.json", index)


def tiny_controlnet(directory: Path, seed: int = 1) -> Path:
    """Write a ControlNet for the bundle's corrector, in diffusers' layout, and return its directory."""
    torch.manual_seed(seed)
    config = ControlNetConfig(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), block_out_channels=(8, 16), layers_per_block=1,
        norm_num_groups=4, cross_attention_dim=16, attention_head_dim=2,
        conditioning_embedding_out_channels=(4, 8, 12),
    )  # fmt: skip
    _save(ControlNet(config), directory / "diffusion_pytorch_model.safetensors")
    _json(directory / "config.json", {"_class_name": "ControlNetModel", **asdict(config)})
    return directory


def _write_clip_tokenizer(directory: Path) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    _json(directory / "vocab.json", {token: index for index, token in enumerate(tokens)})
    (directory / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    config = {"model_max_length": 77, "pad_token": "<|endoftext|>", **special}
    _json(directory / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", **config})


def _save(module: nn.Module, path: Path, spread: float = 1.0) -> None:
    """Random weights; ``spread`` widens the matrices, so that a random ARM's logits are not all alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value * spread if value.dim() == 2 else value for name, value in module.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, str(path))


def _json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
