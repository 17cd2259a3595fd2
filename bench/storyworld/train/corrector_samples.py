"""Pictures of a corrector in training: text-to-image and SDEdit grids for a look at its progress."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from PIL import Image
from torch import Tensor

from .corrector_model import Corrector
from .diffusion_schedule import SCHEDULER_CONFIG


@torch.inference_mode()
def denoise(
    model: Corrector,
    weights: Mapping[str, Tensor],
    ids: Tensor,
    empty: Tensor,
    start: Tensor,
    *,
    strength: float = 1.0,
    steps: int = 50,
    guidance_scale: float = 5.0,
    seed: int = 0,
) -> Tensor:
    """DDIM latents [B, 4, h, w] under captions `ids` [B, 77]; SDEdit (arXiv 2108.01073) of `start` below strength 1."""
    scheduler: Any = DDIMScheduler(**SCHEDULER_CONFIG)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps[steps - int(steps * strength) :]
    noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(seed)).to(start.device)
    latents = noise if strength >= 1 else scheduler.add_noise(start, noise, timesteps[:1])
    both = torch.cat([empty.expand_as(ids), ids])
    for t in timesteps:
        v = model.low_precision(torch.cat([latents, latents]), t.to(latents.device), both, weights)
        unconditional, conditional = v.chunk(2)
        v = unconditional + guidance_scale * (conditional - unconditional)
        latents = scheduler.step(v, t, latents, return_dict=False)[0]
    return latents


@torch.inference_mode()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Scaled latents to pixels uint8 [B, H, W, 3] on the CPU, by a diffusers AutoencoderKL."""
    pixels = vae.decode(latents / vae.config.scaling_factor).sample
    result: Tensor = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().permute(0, 2, 3, 1).byte().cpu()
    return result


def save_grid(rows: list[Tensor], path: Path) -> None:
    """Rows of equal pictures uint8 [B, H, W, 3] as one PNG."""
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
    Image.fromarray(sheet.numpy()).save(path)


def sample_sheet(
    model: Corrector,
    weights: Mapping[str, Tensor],
    vae: Any,
    latents: Tensor,
    ids: Tensor,
    empty: Tensor,
    path: Path,
) -> None:
    """Four rows: truth; text-to-image; SDEdit of the truth; SDEdit under another caption (t' = 0.5, CFG 5)."""
    swapped = ids.roll(1, 0)
    rows = [
        latents,
        denoise(model, weights, ids, empty, latents),
        denoise(model, weights, ids, empty, latents, strength=0.5),
        denoise(model, weights, swapped, empty, latents, strength=0.5),
    ]
    save_grid([decode(vae, row) for row in rows], path)
