"""The toy's checkpoint: ``vectors.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from acdc.engine.utils.weights import load_into

from .family import Layout, ToyArm, Vectors

LAYOUT = Layout(codes_per_frame=16, codebook_size=32)  # the tiny bundle's tokenizer


def save(folder: Path) -> None:
    """Random ones."""
    torch.manual_seed(1)
    folder.mkdir()
    save_file(Vectors(LAYOUT.codebook_size).state_dict(), str(folder / "vectors.safetensors"))


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> ToyArm:
    model = Vectors(LAYOUT.codebook_size)
    load_into(model, folders["path"] / "vectors.safetensors", dtype)
    return ToyArm(model.to(device, dtype), LAYOUT)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> ToyArm:
    return ToyArm(Vectors(LAYOUT.codebook_size).to(device, dtype), LAYOUT)
