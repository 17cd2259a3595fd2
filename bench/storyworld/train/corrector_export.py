"""Writes a corrector as a complete Stable Diffusion directory that diffusers loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from .caption_tokenizer import Pair, build_tokenizer, save_tokenizer
from .corrector_model import Corrector, CorrectorSize
from .diffusion_schedule import SCHEDULER_CONFIG

VAE_FILES = ("config.json", "diffusion_pytorch_model.safetensors")


def export(size: CorrectorSize, weights: Mapping[str, Tensor], merges: Sequence[Pair], vae: Path, folder: Path) -> None:
    """fp16 safetensors of `weights` (names of `Corrector`) with the given VAE directory as `folder`.

    Raises ValueError if `vae` lacks a file of a diffusers AutoencoderKL.
    """
    for name in VAE_FILES:
        if not (vae / name).is_file():
            raise ValueError(f"{vae}: not a diffusers AutoencoderKL directory: {name} is missing")
    model: Any = Corrector(size, build_tokenizer(merges).get_vocab_size(), fast=False)
    model.load_state_dict({**model.state_dict(), **{name: value.contiguous() for name, value in weights.items()}})
    model.to(torch.float16)
    folder.mkdir(parents=True, exist_ok=True)
    model.unet.save_pretrained(folder / "unet")
    model.text_encoder.save_pretrained(folder / "text_encoder")
    save_tokenizer(merges, folder / "tokenizer")
    scheduler: Any = DDIMScheduler(**SCHEDULER_CONFIG)
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "vae").mkdir(exist_ok=True)
    for name in VAE_FILES:
        shutil.copyfile(vae / name, folder / "vae" / name)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
