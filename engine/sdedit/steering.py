"""Constraints inside the denoising: a mask, and a ControlNet.

With a mask m (1 = may change), z the picture's latents and n the noise that it was noised with (diffusers' rules):

    UNet of 9 channels    it reads [x, m, latents of the picture, grey where m = 1]
    ordinary UNet         after each step x = m x + (1 - m) (sqrt(a) z + sqrt(1 - a) n), a of the next step's timestep;
                          after the last one x = m x + (1 - m) z
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.diffusion.attention import KV
from ..models.diffusion.controlnet import guess_scales
from ..models.diffusion.denoiser import Controller, Denoiser
from ..models.diffusion.schedule import Schedule, add_noise


class Kept(NamedTuple):
    """Latents that an ordinary UNet must not change: where ``mask`` [B, 1, h, w] is 0, the picture's ``latents`` with
    their ``noise`` [B, C, h, w]."""

    mask: Tensor
    latents: Tensor
    noise: Tensor

    def blend(self, latents: Tensor, schedule: Schedule, number: int) -> Tensor:
        """``latents`` after step ``number`` of the schedule, the kept ones at the level of the next step."""
        later = schedule.steps[number + 1 :]
        known = add_noise(self.latents, self.noise, later[0].alpha) if later else self.latents
        return (1 - self.mask) * known + self.mask * latents


@dataclass(frozen=True)
class Control:
    """A ControlNet's inputs for a batch: ``hint`` [B, C', h, w], ``table`` [steps, P], ``scales`` of its residuals, one
    a step (0: the step does without), and the text's ``kv``: of both branches, or in ``guess_mode`` of the conditional
    one, whose residuals then grow from a tenth for the first map to the whole for the middle."""

    network: Controller
    hint: Tensor
    table: Tensor
    scales: tuple[float, ...]
    kv: Sequence[KV]
    guess_mode: bool = False

    def residuals(self, latents: Tensor, number: int, rows: int) -> list[Tensor]:
        """Those of step ``number`` for a pass that ends with ``rows`` rows; none where the step does without."""
        scale = self.scales[number]
        if not scale:
            return []
        found = self.network(latents, self.table[number : number + 1], self.hint, self.kv)
        factors = guess_scales(len(found)) if self.guess_mode else [1.0] * len(found)
        scaled = [residual * (scale * factor) for residual, factor in zip(found, factors, strict=True)]
        if not self.guess_mode or rows == len(latents):
            return scaled
        return [torch.cat((torch.zeros_like(residual), residual)) for residual in scaled]  # unconditional rows first


def scales_of_steps(count: int, scale: float, start: float, end: float) -> tuple[float, ...]:
    """``scale`` for the steps, of ``count`` that run, that lie between the fractions ``start`` and ``end``; 0 for the
    others. Worked example: of 6 steps from 0.2 to 0.7, numbers 2 and 3 (from 0)."""
    return tuple(scale * (i / count >= start and (i + 1) / count <= end) for i in range(count))


class Steering(NamedTuple):
    """Constraints of a batch during its denoising: further ``channels`` of the UNet's input [B, C + 1, h, w], latents
    that are ``kept``, and a ``control``."""

    channels: Tensor | None = None
    kept: Kept | None = None
    control: Control | None = None

    def predict(self, unet: Denoiser, latents: Tensor, shifts: Tensor, kv: Sequence[KV], number: int) -> Tensor:
        """The network's answer at step ``number``, as :class:`Denoiser` gives it."""
        residuals = [] if self.control is None else self.control.residuals(latents, number, len(kv[0][0]))
        inputs = latents if self.channels is None else torch.cat((latents, self.channels), dim=1)
        return unet(inputs, shifts, kv, residuals)

    def settle(self, latents: Tensor, schedule: Schedule, number: int) -> Tensor:
        """The latents after step ``number`` as the next one starts from them."""
        return latents if self.kept is None else self.kept.blend(latents, schedule, number)


FREE = Steering()
