"""LWM's picture tokenizer: our own directory, or the published ``vqgan``, whose encoder stays float32 at least."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.tokenizers.vqgan import VQGAN, VQGANConfig
from ...utils.weights import skeleton
from ..random_weights import fill
from ..vqgan_pickle import is_published, load_published
from . import refuse_config


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> VQGAN:
    """From ``config.json`` and ``model.safetensors``, or the published pickle."""
    refuse_config(config, "vqgan")
    folder = folders["path"]
    own = (folder / "config.json").is_file() and not (folder / "vqgan").is_file()
    if not own and is_published(folder):
        return load_published(VQGAN, folder, device, dtype)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder / 'config.json'}: no such file, nor vqgan as LWM is published")
    return VQGAN.from_directory(folder, device, dtype)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> VQGAN:
    """Networks with random weights, with ``config`` in place of LWM's sizes; what finds codes is float32 at least."""
    with skeleton():
        model = VQGAN(VQGANConfig.from_dict(dict(config)))
    return fill(model, device, torch.promote_types(dtype, torch.float32)).lower_decoder(dtype)
