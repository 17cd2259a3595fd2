"""Names of ``raft-things.pth`` under those of torchvision, which its own ``raft_large_C_T_V1`` has already."""

from __future__ import annotations

import re

ENCODERS = {"fnet": "feature_encoder", "cnet": "context_encoder"}
MOTION = {
    "convc1": "convcorr1",
    "convc2": "convcorr2",
    "convf1": "convflow1",
    "convf2": "convflow2",
    "conv": "conv",
}
PARTS = {"conv": 0, "norm": 1}


def torchvision_name(name: str) -> str | None:
    """Our name of a tensor; None for a second name of one (``norm3`` is ``downsample.1``)."""
    first, _, rest = name.partition(".")
    if first in ENCODERS:
        inner = _encoder_name(rest)
        return None if inner is None else f"{ENCODERS[first]}.{inner}"
    if found := re.fullmatch(r"update_block\.encoder\.(\w+)\.(weight|bias)", name):
        return f"update_block.motion_encoder.{MOTION.get(found[1], found[1])}.0.{found[2]}"
    if found := re.fullmatch(r"update_block\.gru\.(conv[zrq])([12])\.(\w+)", name):
        return f"update_block.recurrent_block.convgru{found[2]}.{found[1]}.{found[3]}"
    if found := re.fullmatch(r"update_block\.mask\.([02])\.(\w+)", name):
        return f"mask_predictor.{'convrelu.0' if found[1] == '0' else 'conv'}.{found[2]}"
    return name


def _encoder_name(name: str) -> str | None:
    if found := re.fullmatch(r"(conv|norm)1\.(\w+)", name):
        return f"convnormrelu.{PARTS[found[1]]}.{found[2]}"
    if found := re.fullmatch(r"conv2\.(\w+)", name):
        return f"conv.{found[1]}"
    if re.search(r"\.norm3\.", name):
        return None
    if found := re.fullmatch(r"(layer\d\.\d)\.(conv|norm)([12])\.(\w+)", name):
        return f"{found[1]}.convnormrelu{found[3]}.{PARTS[found[2]]}.{found[4]}"
    return name
