"""LoRA (arXiv 2106.09685): low-rank changes of a corrector's weights, read from safetensors and merged for good.

    W <- W + weight * alpha / rank * up @ down        linear [out, in]: down [rank, in], up [out, rank]
                                                      convolution [out, in, kh, kw]: down [rank, in, kh, kw]

alpha is the file's tensor, or what PEFT's or diffusers' metadata say, or else the rank. All changes of a weight are
summed in float32 and cast once. Files are checked whole before the first weight is touched.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..models.diffusion.stable_diffusion import StableDiffusion
from ..options.lora import Lora
from ..utils.file_digest import file_digest
from ..utils.weights import cast, why_unreadable
from .lora_keys import NETWORKS, LoraKey, layer_names, parse_key
from .lora_metadata import AdapterConfig, adapter_config

NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")  # in a folder: diffusers', PEFT's
DIGITS = 32
Layer = nn.Linear | nn.Conv2d
Layers = Mapping[str, Mapping[str, Layer]]  # network -> name -> layer


class Change(NamedTuple):
    """Low-rank change of one layer: ``scale * up @ down``, with the alpha that is part of the scale."""

    down: Tensor
    up: Tensor
    alpha: float
    scale: float


@dataclass(frozen=True)
class LoraFile:
    """A file that has been read and fits: its changes by (network, layer)."""

    lora: Lora
    path: Path
    digest: str
    changes: Mapping[tuple[str, str], Change]

    def record(self) -> dict[str, str | float]:
        """Which LoRA it is, ready for JSON: name, digest of the contents, weight."""
        return {"file": self.path.name, "sha256": self.digest, "weight": self.lora.weight}

    def summary(self) -> str:
        """One line for a person: ranks, alphas, number of layers and of weights."""
        ranks = sorted({len(change.down) for change in self.changes.values()})
        alphas = sorted({change.alpha for change in self.changes.values()})
        of = [f"{sum(n == network for n, _ in self.changes)} of the {text}" for network, text in NETWORKS.items()]
        size = sum(change.down.numel() + change.up.numel() for change in self.changes.values())
        return f"rank {_range(ranks)}, alpha {_range(alphas)}, layers: {' and '.join(of)}, {size:,} weights"


def read_loras(corrector: StableDiffusion, loras: Sequence[Lora]) -> list[LoraFile]:
    """The files of ``loras``; ``ValueError`` (one line, names the file and the key) for one that does not fit."""
    layers = corrector_layers(corrector)
    return [read_lora(lora, layers) for lora in loras]


def merge_loras(corrector: StableDiffusion, files: Sequence[LoraFile]) -> None:
    """Add all changes to the corrector's weights, in place, before anything is packed, fused or compiled.

    ``ValueError`` names the layer where a sum is not finite in the weights' dtype.
    """
    merge_layers(corrector_layers(corrector), files)


def merge_layers(layers: Layers, files: Sequence[LoraFile]) -> None:
    """As :func:`merge_loras`, into the weights of these layers."""
    touched = dict.fromkeys(place for file in files for place in file.changes)
    for network, name in touched:
        weight = layers[network][name].weight
        merged = weight.to(torch.promote_types(weight.dtype, torch.float32), copy=True)
        for file in files:
            if (change := file.changes.get((network, name))) is not None:
                merged += _product(change, merged).mul_(file.lora.weight * change.scale)
        cast_back = merged.to(weight.dtype)
        if not bool(torch.isfinite(cast_back).all()):
            kind = str(weight.dtype).removeprefix("torch.")
            raise ValueError(f"LoRA {files[-1].path}: {name} of the {NETWORKS[network]} overflows {kind}")
        with torch.no_grad():
            weight.copy_(cast_back)


def corrector_layers(corrector: StableDiffusion) -> dict[str, dict[str, Layer]]:
    """The layers that a LoRA may change: linear ones and convolutions of UNet and text encoder."""
    unet = corrector.unet
    assert isinstance(unet, nn.Module), "no plan has taken its place yet"
    return network_layers({"unet": unet, "text_encoder": corrector.text_encoder})


def network_layers(networks: Mapping[str, nn.Module]) -> dict[str, dict[str, Layer]]:
    """The linear layers and convolutions of networks by name ("unet", "text_encoder")."""
    return {
        name: {path: module for path, module in network.named_modules() if isinstance(module, Layer)}
        for name, network in networks.items()
    }


def read_lora(lora: Lora, layers: Layers) -> LoraFile:
    """One file, checked against the layers."""
    path = find_file(Path(lora.path))
    found: dict[LoraKey, tuple[str, Tensor]] = {}
    names = {network: layer_names(known) for network, known in layers.items()}
    with _open(path) as file:
        config = adapter_config(path, file.metadata() or {})
        for key in file.keys():  # noqa: SIM118
            try:
                place = parse_key(key, names)
            except ValueError as error:
                raise ValueError(f"LoRA {path}: {error}") from None
            if place in found:
                raise ValueError(f"LoRA {path}: keys {found[place][0]!r} and {key!r} are of the same layer")
            _check_shape(path, key, place, file.get_slice(key).get_shape(), layers[place.network][place.module])
            found[place] = key, cast(path, key, file.get_tensor(key), torch.float32)
    if not found:
        raise ValueError(f"LoRA {path}: the file holds no tensors")
    config.check_patterns(path, (place.module for place in found))
    digest = (
        hashlib.sha256(f"{file_digest(path)}{config.text}".encode()).hexdigest() if config.text else file_digest(path)
    )
    return LoraFile(lora, path, digest[:DIGITS], dict(_changes(path, found, config)))


def find_file(path: Path) -> Path:
    """The file itself, or the one of a usual name in a folder; ``ValueError`` if there is none."""
    if not path.is_dir():
        if not path.is_file():
            raise ValueError(f"LoRA {str(path)!r} does not exist; give a safetensors file, FILE or FILE=WEIGHT")
        return path
    for name in NAMES:
        if (path / name).is_file():
            return path / name
    raise ValueError(f"LoRA {str(path)!r}: the directory holds neither {' nor '.join(NAMES)}; give a file")


def _open(path: Path) -> safe_open:
    """``safe_open`` whose errors are one line; a pickle is named as what it is, and is not run."""
    try:
        return safe_open(str(path), framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"LoRA {path}: {why_unreadable(path, error)}") from None


def _changes(
    path: Path, found: Mapping[LoraKey, tuple[str, Tensor]], config: AdapterConfig
) -> Iterator[tuple[tuple[str, str], Change]]:
    """Pairs of factors with their scales; ``ValueError`` for a factor, or an alpha, without its partners."""
    for network, module in dict.fromkeys(place[:2] for place in found):
        down, up, alpha = (found.get(LoraKey(network, module, part)) for part in ("down", "up", "alpha"))
        if down is None or up is None:
            (key, _) = down or up or alpha or ("", None)
            missing = "down (A)" if down is None else "up (B)"
            raise ValueError(f"LoRA {path}: key {key!r} has no partner: the {missing} factor of {module} is missing")
        rank = len(down[1])
        if up[1].shape[1] != rank:
            raise ValueError(
                f"LoRA {path}: key {up[0]!r} has rank {up[1].shape[1]}, its partner {down[0]!r} has {rank}"
            )
        value = config.alpha(network, module, rank) if alpha is None else alpha[1].item()
        yield (network, module), Change(down[1], up[1], value, value / (math.sqrt(rank) if config.rslora else rank))


def _check_shape(path: Path, key: str, place: LoraKey, shape: Sequence[int], layer: Layer) -> None:
    """``ValueError`` unless a factor fits its layer; a 1x1 convolution may be written as a matrix."""
    if place.part == "alpha":
        wanted, fits = "one number", math.prod(shape) == 1
    else:
        (outputs, *inputs), found = _four(layer.weight.shape), _four(shape)
        if place.part == "down":
            wanted, fits = f"[rank, {', '.join(map(str, layer.weight.shape[1:]))}]", [*found[1:]] == inputs
        else:
            wanted, fits = f"[{outputs}, rank]", found[0] == outputs and found[2:] == (1, 1)
        fits = fits and 0 not in shape and len(shape) >= 2
    if not fits:
        raise ValueError(f"LoRA {path}: key {key!r} has shape {[*shape]}, expected {wanted}; is it for another model?")


def _four(shape: Sequence[int]) -> tuple[int, ...]:
    """A matrix's shape as a 1x1 convolution's."""
    return (*shape, 1, 1) if len(shape) == 2 else tuple(shape)


def _product(change: Change, like: Tensor) -> Tensor:
    """``up @ down`` in the shape, dtype and place of ``like``."""
    up, down = (factor.flatten(1).to(like.device, like.dtype) for factor in (change.up, change.down))
    return (up @ down).reshape(like.shape)


def _range(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
