"""Interfaces of a diffusion model's networks for the correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from .attention import KV


class DenoiserConfig(Protocol):
    """Sizes of a UNet that a correction asks for."""

    @property
    def in_channels(self) -> int: ...

    @property
    def out_channels(self) -> int: ...

    @property
    def cross_attention_dim(self) -> int: ...

    @property
    def embeds_guidance(self) -> bool:
        """Does the network take the scale of guidance as an input, so that one pass is a guided one (LCM)?"""
        ...

    @property
    def embeds_fps(self) -> bool:
        """Does the network read the frame rate of its clips?"""
        ...


class Denoiser(Protocol):
    """A UNet whose parts that depend on the timestep or the prompt alone are computed once and passed in."""

    @property
    def config(self) -> DenoiserConfig: ...

    @property
    def use_triton(self) -> bool:
        """Are our kernels used, here and in what surrounds the passes?"""
        ...

    def time_shifts(self, timesteps: Tensor, guidance_scale: float | None = None, fps: int | None = None, /) -> Tensor:
        """[N] -> [N, P]: once a schedule. The scale and the frame rate count where the network embeds them."""
        ...

    def context_kv(self, context: Tensor) -> list[KV]:
        """Text states [B, S, D] -> keys and values of every cross-attention: once a prompt."""
        ...

    def __call__(
        self, latents: Tensor, shifts: Tensor, kv: Sequence[KV], residuals: Sequence[Tensor] = (), /
    ) -> Tensor:
        """``latents`` [B, C, h, w], ``shifts`` [1, P], ``kv`` of n B rows, a ControlNet's ``residuals`` of B or n B
        rows -> prediction [n B, C, h, w], or with a learned variance after it [n B, 2 C, h, w]: each step."""
        ...


class Controller(Protocol):
    """A ControlNet, whose parts are computed once as the UNet's are."""

    def time_shifts(self, timesteps: Tensor, /) -> Tensor:
        """[N] -> [N, P]: once a schedule."""
        ...

    def context_kv(self, context: Tensor) -> list[KV]:
        """Text states [B, S, D] -> keys and values of every cross-attention: once a prompt."""
        ...

    def hint(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> [B, C, h, w]: once a frame."""
        ...

    def __call__(self, latents: Tensor, shifts: Tensor, hint: Tensor, kv: Sequence[KV], /) -> Sequence[Tensor]:
        """The residuals of a step, of B or n B rows, for :class:`Denoiser`."""
        ...
