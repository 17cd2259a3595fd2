"""A Stable Diffusion 1.5 directory of random weights that every contender reads, and a bundle around it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from ...engine.loading.bundle_place import EMBEDDED
from ...engine.loading.families.stable_diffusion import SIZES, make
from ...engine.utils.weights import read_json

EXAMPLE = EMBEDDED / "storyworld"  # its CLIP tokenizer, ARM and visual tokenizer serve here too
CORRECTOR = "corrector"
FILES = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
SAMPLE = 64  # latents a side; diffusers' pipeline compares it with a number


def write_bundle(folder: Path, sizes: Mapping[str, Mapping[str, Any]] = SIZES) -> Path:
    """The corrector's directory, made where it is missing: weights that bfloat16 and float16 both hold exactly, so that
    no contender's format rounds them.

    The text encoder has the embedded bundle's small vocabulary, which changes the size of a table that is looked up
    and no time.
    """
    corrector = folder / CORRECTOR
    if (folder / "bundle.json").exists():
        return corrector
    shutil.copytree(EXAMPLE / CORRECTOR / "tokenizer", corrector / "tokenizer", dirs_exist_ok=True)
    text = {**read_json(EXAMPLE / CORRECTOR / "text_encoder" / "config.json"), "num_hidden_layers": 12}
    text |= {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": 768}
    text |= sizes["text_encoder"]
    model = make({**sizes, "text_encoder": text}, torch.device("cpu"), torch.bfloat16)
    _write(corrector / "text_encoder", text, model.text_encoder, "text_encoder")
    for name, network in (("unet", model.unet), ("vae", model.vae)):
        assert isinstance(network, nn.Module)
        _write(corrector / name, {"_class_name": CLASSES[name], "sample_size": SAMPLE, **sizes[name]}, network, name)
    _write_json(
        corrector / "scheduler" / "scheduler_config.json", {"_class_name": "DDIMScheduler", **sizes["scheduler"]}
    )
    shutil.copy(EXAMPLE / CORRECTOR / "model_index.json", corrector)
    parts = {
        role: {"kind": kind, "path": str(EXAMPLE / role)} for role, kind in (("arm", "lwm"), ("tokenizer", "vqgan"))
    }
    _write_json(folder / "bundle.json", {"format": 1, "name": "real-size", **parts, "corrector": CORRECTOR})
    return corrector


def _write(folder: Path, config: Mapping[str, Any], network: nn.Module, name: str) -> None:
    _write_json(folder / "config.json", config)
    state = {key: value.half().bfloat16().contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / f"{FILES[name]}.safetensors")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
