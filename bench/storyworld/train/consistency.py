"""Latent consistency distillation (LCM, arXiv 2310.04378) of a v-predicting network with fixed guidance, as tensors.

The student f(x, t) = c_skip x + c_out x0(x, t) is to give the same clean latents at any two timesteps of one path of
the teacher's probability flow. A path is followed by one guided step of DDIM at a time, 20 timesteps long (k of the
paper's Eq. 14), on the list that LCM's sampler draws from: 19, 39, ... 999.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ....engine.models.diffusion.schedule import guide
from .diffusion_schedule import TRAIN_TIMESTEPS

POINTS = 50  # LCM's original_inference_steps
STRIDE = TRAIN_TIMESTEPS // POINTS
NEAR, NEAR_SHARE = 30, 0.75  # share of a batch at the first points, up to timestep 599: where SDEdit starts or runs
SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0
HUBER = 1e-3  # c of the pseudo-Huber loss (arXiv 2310.14189, section 3.3), as published LCMs were distilled with

Network = Callable[[Tensor, Tensor], Tensor]  # latents [B, 4, h, w] and timesteps [B] to v


def stratified_points(batch: int) -> Tensor:
    """Timesteps [B] of the list, one from each of ``batch`` equal parts of the distribution."""
    share = (torch.arange(batch) + torch.rand(batch)) / batch
    near = share / NEAR_SHARE * NEAR
    far = NEAR + (share - NEAR_SHARE) / (1 - NEAR_SHARE) * (POINTS - NEAR)
    point = torch.where(share < NEAR_SHARE, near, far).long().clamp(max=POINTS - 1)
    return STRIDE * (point + 1) - 1


def levels(timesteps: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and spread sqrt(a), sqrt(1 - a) at ``timesteps`` [B], to be multiplied by latents: [B, 1, 1, 1]."""
    alpha = alphas[timesteps][:, None, None, None]
    return alpha.sqrt(), (1 - alpha).sqrt()


def teacher_step(
    network: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    latents: Tensor,
    timesteps: Tensor,
    alphas: Tensor,
    guidance_scale: float,
) -> tuple[Tensor, Tensor]:
    """One guided step of DDIM: the latents ``STRIDE`` timesteps further, or at timestep 0 from the list's first point,
    and those timesteps. ``network`` gives v with the caption and v without."""
    conditional, unconditional = network(latents, timesteps)
    v = guide(conditional, unconditional, guidance_scale)
    signal, spread = levels(timesteps, alphas)
    following = (timesteps - STRIDE).clamp(min=0)
    next_signal, next_spread = levels(following, alphas)
    clean, noise = signal * latents - spread * v, signal * v + spread * latents
    return next_signal * clean + next_spread * noise, following


def consistent(network: Network, latents: Tensor, timesteps: Tensor, alphas: Tensor) -> Tensor:
    """f(x, t); at timestep 0 the latents themselves (the boundary condition)."""
    signal, spread = levels(timesteps, alphas)
    scaled = TIMESTEP_SCALING * timesteps[:, None, None, None].to(latents.dtype)
    skip = SIGMA_DATA**2 / (scaled.square() + SIGMA_DATA**2)
    out = scaled / (scaled.square() + SIGMA_DATA**2).sqrt()
    clean = signal * latents - spread * network(latents, timesteps)
    return skip * latents + out * clean


def distance(first: Tensor, second: Tensor) -> Tensor:
    """The mean pseudo-Huber distance of latents."""
    return ((first - second).square() + HUBER**2).sqrt().mean() - HUBER


def mean_square(first: Tensor, second: Tensor) -> float:
    """For reports."""
    return round(float(F.mse_loss(first, second)), 5)
