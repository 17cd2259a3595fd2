"""The tiny bundle with a corrector as LCM distils it with its guidance: the published UNet and scheduler."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

KEY = "time_embedding.cond_proj.weight"


def edit(path: Path, **changes) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def lcm_bundle(source: Path, path: Path, **weights: torch.Tensor) -> Path:
    """A copy of ``source`` at ``path``, whose UNet has ``weights`` besides."""
    shutil.copytree(source, path)
    edit(path / "corrector" / "unet" / "config.json", time_cond_proj_dim=16)
    edit(path / "corrector" / "scheduler" / "scheduler_config.json", _class_name="LCMScheduler")
    file = path / "corrector" / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(file) | weights, file)
    return path


def guided_lcm(source: Path, path: Path) -> Path:
    """The same with random weights of the guidance embedding."""
    weight = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    return lcm_bundle(source, path, **{KEY: weight})
