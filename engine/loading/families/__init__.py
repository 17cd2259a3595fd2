"""The kinds of ARM, tokenizer and corrector that a bundle may name; a kind's file is imported when one is loaded.

A kind's module has ``load(folders, config, device, dtype)``, from checkpoints, and ``make(config, device, dtype)``, the
same networks with weights of noise (``random_weights.py``). ``folders`` has "path" and what else the kind needs;
``config`` holds sizes that the checkpoint's own files do not tell, or that a system of noise is to have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...options import Lora


class Kind(NamedTuple):
    """Module of a kind's ``load`` and ``make``, the further ``folders`` that it may name, the options that it decides
    where a bundle says nothing, and the ``pickles`` that it reads."""

    module: str
    folders: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = {}
    pickles: tuple[str, ...] = ()


# The registry: role -> kind. A new family is a line here.
KINDS: Mapping[str, dict[str, Kind]] = {
    "arm": {
        "lwm": Kind(".lwm"),
        "show-o": Kind(".show_o", ("text",), {"layout": "independent"}),
        "janus": Kind(".janus", defaults={"layout": "independent"}),
        "emu3": Kind(".emu3", defaults={"layout": "independent"}),
        "unified-io-2": Kind(".unified_io2", ("text",), pickles=("pytorch_model.bin",)),
    },
    "tokenizer": {
        "vqgan": Kind(".vqgan"),
        "magvit2": Kind(".magvit2"),
        "llamagen": Kind(".llamagen"),
        "emu3-vq": Kind(".emu3_vq"),
        "unified-io-2-vqgan": Kind(".unified_io2_vqgan", pickles=("pytorch_model.bin",)),
    },
    "corrector": {
        "stable-diffusion": Kind(".stable_diffusion", ("controlnet", "depth_model")),
        "animatediff": Kind(".animatediff", ("motion_adapter",)),
        "videocrafter2": Kind(".videocrafter2", ("text",), {"guidance_scale": 12.0}, ("model.ckpt",)),
        "deepfloyd-if": Kind(".deepfloyd_if", ("stage_one",)),
    },
}


def refuse_config(config: Mapping[str, Any], kind: str, *but: str) -> None:
    """``ValueError`` for sizes that a checkpoint states itself; it does not state those in ``but``."""
    for name in sorted(config.keys() - {*but}):
        raise ValueError(f"config {name!r} of a part of kind {kind}: its own files tell the sizes; leave it out")


@dataclass(frozen=True)
class ComponentSpec:
    """One part of a bundle: its kind, its folders (none: weights of noise), sizes, and a corrector's LoRAs."""

    kind: str
    folders: Mapping[str, Path]
    config: Mapping[str, Any] = field(default_factory=dict)
    loras: tuple[Lora, ...] = ()

    def load(self, device: torch.device, dtype: torch.dtype) -> Any:
        """The part's networks; ``ValueError`` names the file and the key that is wrong."""
        (module_name,) = (kinds[self.kind].module for kinds in KINDS.values() if self.kind in kinds)
        module = import_module(module_name, __name__)
        if self.folders:
            return module.load(self.folders, self.config, device, dtype)
        return module.make(self.config, device, dtype)
