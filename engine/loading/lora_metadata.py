"""Scale of a LoRA where its file has no alpha tensors: PEFT's ``adapter_config.json``, diffusers' metadata.

adapter_model.safetensors, adapter_config.json     {"r": 8, "lora_alpha": 16, "use_rslora": false, ...}
metadata "lora_adapter_metadata" in the file       {"unet.r": 8, "unet.lora_alpha": 16, ...}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..utils.weights import read_json

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
METADATA_KEY = "lora_adapter_metadata"  # diffusers 0.34 and later
NETWORKS = ("unet", "text_encoder")
NUMBER = int | float
# Beginnings of a training that leave the base's weights as they are; others take a part out of them, and PEFT does so
# again when it loads the file.
BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
# Fields that make the change another one than scale * up @ down at every layer and every token.
OTHER_KINDS = (
    "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "use_bdlora", "use_qalora",
)  # fmt: skip


@dataclass(frozen=True)
class AdapterConfig:
    """``alphas`` by network ("" for any), ``patterns`` are alphas of single layers. ``rslora`` divides by the root of
    the rank (arXiv 2312.03732). ``text`` is what of it lies outside of the file of weights."""

    alphas: Mapping[str, float] = field(default_factory=dict)
    patterns: Mapping[str, float] = field(default_factory=dict)
    rslora: bool = False
    text: str = ""

    def alpha(self, network: str, module: str, rank: int) -> float:
        """The alpha of a layer; its rank where nothing is said."""
        for pattern, alpha in self.patterns.items():
            if _matches(pattern, module):
                return alpha
        return self.alphas.get(network, self.alphas.get("", float(rank)))

    def check_patterns(self, path: Path, modules: Iterable[str]) -> None:
        """``ValueError`` for a pattern that is not a layer's name: PEFT takes regular expressions, we do not."""
        known = set(modules)
        for pattern in self.patterns:
            if not any(_matches(pattern, module) for module in known):
                raise ValueError(f"LoRA {path}: alpha_pattern {pattern!r} is not the name of a layer in the file")


def adapter_config(path: Path, metadata: Mapping[str, str]) -> AdapterConfig:
    """Scale by a LoRA's neighbour file or its own metadata; ``ValueError`` names a kind that is not served."""
    config = path.with_name(CONFIG_FILE)
    if path.name == WEIGHTS_FILE and config.is_file():
        raw = read_json(config)
        return _parse(str(config), {"": raw}, json.dumps(raw, sort_keys=True))
    if METADATA_KEY not in metadata:
        return AdapterConfig()
    where = f"LoRA {path}: metadata {METADATA_KEY}"
    try:
        raw = json.loads(metadata[METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not readable as JSON ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{where} is not a JSON object")
    parts = {n: {k.removeprefix(f"{n}."): v for k, v in raw.items() if k.startswith(f"{n}.")} for n in NETWORKS}
    return _parse(where, parts)


def _parse(where: str, parts: Mapping[str, Mapping[str, Any]], text: str = "") -> AdapterConfig:
    alphas, patterns, roots = {}, {}, set()
    for network, said in parts.items():
        if said.get("use_dora"):
            raise ValueError(f"{where}: DoRA (use_dora) cannot be merged; give a plain LoRA")
        _refuse_other_kinds(where, said)
        if said.get("lora_alpha") is not None:
            alphas[network] = _number(where, "lora_alpha", said["lora_alpha"])
        if said:
            roots.add(bool(said.get("use_rslora")))
        for pattern, alpha in (said.get("alpha_pattern") or {}).items():
            patterns[pattern] = _number(where, f"alpha_pattern {pattern!r}", alpha)
    if len(roots) > 1:
        raise ValueError(f"{where}: use_rslora differs between UNet and text encoder, which is not supported")
    return AdapterConfig(alphas, patterns, roots == {True}, text)


def _refuse_other_kinds(where: str, said: Mapping[str, Any]) -> None:
    for name in OTHER_KINDS:
        if said.get(name):
            raise ValueError(f"{where}: {name}={said[name]!r} cannot be merged; give a plain LoRA")
    if (beginning := said.get("init_lora_weights")) not in BEGINNINGS:
        raise ValueError(
            f"{where}: init_lora_weights={beginning!r} changes the model's own weights, too; convert the file with "
            "PEFT (save_pretrained with path_initial_model_for_weight_conversion)"
        )


def _number(where: str, name: str, value: Any) -> float:
    if not isinstance(value, NUMBER) or isinstance(value, bool):
        raise ValueError(f"{where}: {name} is {value!r}, which is not a number")
    return float(value)


def _matches(pattern: str, module: str) -> bool:
    """The layer's whole name, or its end from a dot on."""
    name = pattern.removeprefix("^").removeprefix("text_model.")
    return module == name or module.endswith(f".{name}")
