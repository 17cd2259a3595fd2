"""LWM's transformer: our own directory, or the published files; of noise, the published 7B model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...models.layers.fused import fuse
from ...models.lwm.family import Arm
from ...models.lwm.model import LWM, LWMConfig
from ...models.lwm.published import SIZES, STREAM
from ...utils.weights import skeleton
from ..lwm_directory import is_lwm_directory, load_lwm
from ..random_weights import fill, hashed_encoder
from . import refuse_config

SPECIAL = 3  # unknown, beginning, end


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Arm:
    """From ``config.json`` and its neighbours, or ``params`` and ``tokenizer.model``."""
    refuse_config(config, "lwm")
    folder = folders["path"]
    own = (folder / "config.json").is_file() and not (folder / "params").is_file()
    if not own and is_lwm_directory(folder):
        return load_lwm(folder, device, dtype)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder / 'config.json'}: no such file, nor params and tokenizer.model as LWM is published")
    return Arm.from_directory(folder, device, dtype)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Arm:
    """Networks with random weights, with ``config`` in place of published sizes."""
    sizes = LWMConfig.from_dict({**asdict(SIZES), **config})
    with skeleton():
        model = LWM(sizes)
    fuse(fill(model, device, dtype), device)
    return Arm(model, hashed_encoder(sizes.text_vocab, SPECIAL), STREAM)
