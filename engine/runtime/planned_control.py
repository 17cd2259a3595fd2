"""A ControlNet's pass as plans: a stage of its own, on the UNet's backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..models.diffusion.attention import KV
from ..models.diffusion.controlnet import ControlNet

STAGE = "controlnet"


class ControlPass(nn.Module):
    """A ControlNet's pass over plain tensors, as traced graphs need it."""

    def __init__(self, network: ControlNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor, shifts: Tensor, hint: Tensor, *kv: Tensor) -> tuple[Tensor, ...]:
        """``latents`` [B, C, h, w], ``shifts`` [1, P], ``hint`` [B, C', h, w], then key, value, key, value, ... of n B
        rows -> the residuals."""
        return tuple(self.network(latents, shifts, hint, list(zip(kv[::2], kv[1::2], strict=True))))


class PlannedControl(nn.Module):
    """A ControlNet whose passes are plans; what is computed once stays the network's own."""

    def __init__(self, network: ControlNet, step: nn.Module) -> None:
        """``step`` runs the network's :class:`ControlPass`."""
        super().__init__()
        self.network, self.step = network, step
        self.time_shifts, self.hint = network.time_shifts, network.hint

    def context_kv(self, context: Tensor) -> list[KV]:
        """As :meth:`ControlNet.context_kv`, in memory order."""
        return [(keys.contiguous(), values.contiguous()) for keys, values in self.network.context_kv(context)]

    def forward(self, latents: Tensor, shifts: Tensor, hint: Tensor, kv: Sequence[KV]) -> Sequence[Tensor]:
        """As :meth:`ControlNet.forward`."""
        residuals: Any = self.step(latents, shifts, hint, *(value for pair in kv for value in pair))
        return tuple(residuals)
