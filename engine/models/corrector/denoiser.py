"""What the correction asks of a diffusion model's network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from .attention import KV
from .unet import UNetConfig


class Denoiser(Protocol):
    """A UNet whose parts that hang on the timestep or the prompt alone are computed once and passed in."""

    @property
    def config(self) -> UNetConfig: ...

    def time_embedding(self, timesteps: Tensor, /) -> Tensor:
        """[N] -> [N, E]: once a schedule."""
        ...

    def context_kv(self, context: Tensor) -> list[KV]:
        """Text states [B, S, D] -> keys and values of every cross-attention: once a prompt."""
        ...

    def __call__(self, latents: Tensor, temb: Tensor, kv: Sequence[KV], /) -> Tensor:
        """``latents`` [B, C, h, w], ``temb`` [1 or B, E] -> prediction [B, C, h, w]: each step."""
        ...
