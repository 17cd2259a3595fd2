"""Noise schedule of Stable Diffusion and the v target (arXiv 2202.00512) on it."""

from __future__ import annotations

import torch
from torch import Tensor

TRAIN_TIMESTEPS = 1000
SCHEDULER_CONFIG = {
    "num_train_timesteps": TRAIN_TIMESTEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


def alphas_cumprod() -> Tensor:
    """Cumulative products of 1 - beta, float32 [1000]."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAIN_TIMESTEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def noised(
    latents: Tensor, noise: Tensor, timesteps: Tensor, alphas: Tensor, starts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Noisy latents and v targets at `timesteps` [B]: x_t = a x_0 + s e, v = a e - s x_0.

    With `starts` those are noised instead, x_t = a start + s e, and v is the one that leads from there to the
    latents, x_0 = a x_t - s v; it grows with 1 / s, so small timesteps are not for that.
    """
    a = alphas[timesteps].sqrt()[:, None, None, None]
    s = (1 - alphas[timesteps]).sqrt()[:, None, None, None]
    v = a * noise - s * latents
    if starts is None:
        return a * latents + s * noise, v
    return a * starts + s * noise, v + a * a / s * (starts - latents)


def stratified_timesteps(batch: int, device: torch.device | str = "cpu") -> Tensor:
    """One timestep from each of `batch` equal parts of the range: uniform, with less variance a batch."""
    offsets = (torch.arange(batch) + torch.rand(batch)) / batch
    return (offsets * TRAIN_TIMESTEPS).long().clamp(max=TRAIN_TIMESTEPS - 1).to(device)


def min_snr_weights(timesteps: Tensor, alphas: Tensor, gamma: float) -> Tensor:
    """Loss weights min(SNR, gamma) / (SNR + 1) of the v target (arXiv 2303.09556), scaled to mean 1; gamma 0: ones."""
    if gamma <= 0:
        return torch.ones_like(timesteps, dtype=torch.float32)
    ratio = alphas / (1 - alphas)
    weights = ratio.clamp(max=gamma) / (ratio + 1)
    return (weights / weights.mean())[timesteps]
