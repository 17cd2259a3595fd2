"""LoRA (arXiv 2106.09685) of a network's linear layers and convolutions as trainable factors: W + up down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

BASE = "base_sha256"


class Factors(nn.Module):
    """``down`` [r, in, ...] and ``up`` [out, r, 1...] of every layer, r = ``rank`` or the layer's own if that is less.
    ``up`` begins at zero: at first nothing changes. alpha is the rank, so that the scale is 1."""

    def __init__(self, network: nn.Module, rank: int) -> None:
        super().__init__()
        layers = {name: module.weight for name, module in network.named_modules() if _is_changed(module)}
        self.names = tuple(layers)
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        for weight in layers.values():
            outputs, inputs = weight.shape[0], weight[0].numel()
            own = min(rank, outputs, inputs)
            down = torch.empty(own, *weight.shape[1:], device=weight.device)
            self.down.append(nn.init.normal_(down, std=1 / math.sqrt(inputs)))
            self.up.append(torch.zeros(outputs, own, *[1] * (weight.ndim - 2), device=weight.device))

    def merged(
        self, weights: Mapping[str, Tensor], dtype: torch.dtype, values: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The network's ``weights`` with the change, in ``dtype``; by ``values`` (as of ``state_dict``) in the place of
        these parameters. Gradients reach them."""
        values = dict(self.named_parameters()) if values is None else values
        changed = {name: value.to(dtype) for name, value in weights.items()}
        for index, name in enumerate(self.names):
            key = f"{name}.weight"
            change = values[f"up.{index}"].flatten(1) @ values[f"down.{index}"].flatten(1)
            changed[key] = (weights[key] + change.view_as(weights[key])).to(dtype)
        return changed

    def save(self, path: Path, values: Mapping[str, Tensor], base: str) -> None:
        """Write ``values`` as a LoRA of diffusers' UNet under PEFT's names, in float16. ``base`` is the digest of the
        network's file: another one of the same shapes would take the LoRA without a word."""
        parts = {"A": "down", "B": "up"}
        state = {
            f"unet.{name}.lora_{letter}.weight": values[f"{part}.{index}"].detach().half().cpu().contiguous()
            for index, name in enumerate(self.names)
            for letter, part in parts.items()
        }
        save_file(state, path, metadata={BASE: base})  # one key: several have no order


def _is_changed(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d)
