"""LoRA files in the names that people publish them under, written from one set of factors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

STYLES = ("kohya", "peft", "peft with an adapter's name", "diffusers", "diffusers' attention processors")
KOHYA = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}
DOTTED = {"unet": "unet.", "text_encoder": "text_encoder.text_model."}
PROCESSORS = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out.0": "to_out"} | {
    f"{letter}_proj": f"to_{letter}" for letter in ("q", "k", "v", "out")
}


class Factors(NamedTuple):
    """Low-rank change of a layer."""

    down: Tensor
    up: Tensor
    alpha: float | None = None


Pairs = Mapping[tuple[str, str], Factors]


def factors(layer: nn.Module, rank: int, alpha: float | None, seed: int) -> Factors:
    """Random ones of a linear layer or a convolution."""
    random = torch.Generator().manual_seed(seed)
    outputs, *inputs = layer.weight.shape
    ones = [1] * (len(inputs) - 1)
    return Factors(
        torch.randn(rank, *inputs, generator=random) / 4, torch.randn(outputs, rank, *ones, generator=random) / 4, alpha
    )


def tensors(pairs: Pairs, style: str) -> dict[str, Tensor]:
    """The file's tensors by their names in that style. Processors have names for attention alone; other layers get
    the newer ones, as diffusers wrote both into one file."""
    written: dict[str, Tensor] = {}
    for (network, module), (down, up, alpha) in pairs.items():
        dotted = DOTTED[network] + module
        base, down_name, up_name = {
            "kohya": (KOHYA[network] + module.replace(".", "_"), ".lora_down.weight", ".lora_up.weight"),
            "peft": (dotted, ".lora_A.weight", ".lora_B.weight"),
            "peft with an adapter's name": (
                f"base_model.model.{dotted}",
                ".lora_A.default.weight",
                ".lora_B.default.weight",
            ),
            "diffusers": (dotted, ".lora.down.weight", ".lora.up.weight"),
            "diffusers' attention processors": _processor(dotted, network),
        }[style]
        written |= {base + down_name: down, base + up_name: up}
        if alpha is not None:
            written[f"{dotted if style.startswith('diffusers') else base}.alpha"] = torch.tensor(alpha)
    return written


def write(path: Path, pairs: Pairs, style: str, metadata: Mapping[str, str] | None = None) -> Path:
    """The file in that style."""
    state = {name: value.contiguous().clone() for name, value in tensors(pairs, style).items()}
    save_file(state, str(path), metadata=dict(metadata or {}))
    return path


def merged(weight: Tensor, factors: Factors, times: float) -> Tensor:
    """W + times * alpha / rank * up @ down, element by element in float64."""
    rank = len(factors.down)
    product = torch.einsum("or,ri->oi", factors.up.flatten(1).double(), factors.down.flatten(1).double())
    scale = times * (rank if factors.alpha is None else factors.alpha) / rank
    return weight.double() + scale * product.reshape(weight.shape)


def _processor(dotted: str, network: str) -> tuple[str, str, str]:
    for layer, name in PROCESSORS.items():
        if dotted.endswith(f".{layer}"):
            between = ".processor." if network == "unet" else "."
            stem = dotted.removesuffix(f".{layer}") + between + name
            return stem, "_lora.down.weight", "_lora.up.weight"
    return dotted, ".lora.down.weight", ".lora.up.weight"
