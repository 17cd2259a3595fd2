"""Names of the tensors in LoRA files -> the network, the module and the part that they belong to.

Three families of names are in use:

    kohya       lora_unet_down_blocks_0_..._attn1_to_q.lora_down.weight   .lora_up.weight   .alpha
                lora_te_text_model_encoder_layers_0_self_attn_q_proj...   (lora_te1_, too)
    PEFT        unet.down_blocks.0....attn1.to_q.lora_A.weight            .lora_B.weight    .alpha
                text_encoder.text_model.encoder...; base_model.model.<either>; an adapter's name before .weight
    diffusers   unet.down_blocks.0....attn1.processor.to_q_lora.down.weight     .up.weight
                <module>.lora.down.weight; text_encoder.<module>.lora_linear_layer.down.weight

The factor that the input meets is "down" (PEFT's A), the other "up" (B).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

NETWORKS = {"unet": "UNet", "text_encoder": "text encoder"}
SUFFIX = re.compile(
    r"(?P<module>.+?)(?:"
    r"\.lora_(?P<kohya>down|up)\.weight"
    r"|\.lora_(?P<peft>[AB])(?:\.[^.]+)?\.weight"
    r"|\.lora(?:_linear_layer)?\.(?P<layer>down|up)\.weight"
    r"|\.(?:processor\.)?to_(?P<attention>q|k|v|out)_lora\.(?P<processor>down|up)\.weight"
    r"|\.(?P<alpha>alpha))"
)
PEFT_PARTS = {"A": "down", "B": "up"}
PREFIXES = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "unet.": "unet",
    "text_encoder.": "text_encoder",
    "text_model.": "text_encoder",  # PEFT's own files name no network
}
SECOND_ENCODER = ("lora_te2_", "text_encoder_2.")


class LoraKey(NamedTuple):
    """``network`` is "unet" or "text_encoder", ``module`` the dotted name of a layer in it, ``part`` is "down", "up" or
    "alpha"."""

    network: str
    module: str
    part: str


def layer_names(modules: Collection[str]) -> dict[str, str]:
    """Dotted names of a network's layers, by themselves and by kohya's names, which have underscores for dots."""
    return {module.replace(".", "_"): module for module in modules} | {module: module for module in modules}


def parse_key(key: str, layers: Mapping[str, Mapping[str, str]]) -> LoraKey:
    """Place of the tensor ``key``; ``layers`` are the :func:`layer_names` of each network.

    ``ValueError`` (to be preceded by the file's name) for a key that is not a LoRA's, and for a layer that the network
    lacks.
    """
    match = SUFFIX.fullmatch(key)
    if match is None:
        raise ValueError(f"key {key!r} is not of a LoRA (down and up, A and B, alpha)")
    name = match["module"].removeprefix("base_model.model.")
    if name.startswith(SECOND_ENCODER):
        raise ValueError(f"key {key!r} is of a second text encoder (SDXL), which no LoRA changes here")
    network, layer = _split_network(name)
    if letter := match["attention"]:
        layer += _attention_layer(network, letter)
    if layer not in layers[network]:
        raise ValueError(f"key {key!r} is of a layer that the {NETWORKS[network]} lacks; is it for another model?")
    part = match["kohya"] or match["layer"] or match["processor"] or match["alpha"] or PEFT_PARTS[match["peft"]]
    return LoraKey(network, layers[network][layer], part)


def _split_network(name: str) -> tuple[str, str]:
    """The network, and the layer's name in it; a name without a network's is the UNet's."""
    for prefix, network in PREFIXES.items():
        if name.startswith(prefix):
            inner = "text_model_" if prefix.startswith("lora_") else "text_model."
            return network, name.removeprefix(prefix).removeprefix(inner)
    return "unet", name


def _attention_layer(network: str, letter: str) -> str:
    if network == "text_encoder":
        return f".{letter}_proj"
    return ".to_out.0" if letter == "out" else f".to_{letter}"
