"""The names of SDXL-Lightning's files say two things: the number of steps, and what the network predicts.

sdxl_lightning_1step_unet_x0.safetensors      one step; the network's answer is x0
sdxl_lightning_{2,4,8}step_unet.safetensors   noise
sdxl_lightning_{2,4,8}step_lora.safetensors   noise
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

STEPS = re.compile(r"lightning_(\d+)steps?(?=[_.-])")
MOST_STEPS = 1000


def distilled_steps(names: Sequence[str]) -> int | None:
    """The number of steps that files of these names were distilled for; None where no name says so. ``ValueError``
    where two names say different numbers."""
    found = {name: int(match[1]) for name in names if (match := STEPS.search(name.lower()))}
    if len({*found.values()}) > 1:
        said = " and ".join(f"{name} for {steps}" for name, steps in found.items())
        raise ValueError(f"{said} steps do not go together; choose one of them")
    return next(iter(found.values()), None)


def predicts_x0(name: str) -> bool:
    """Is the UNet of this name one whose answer is x0?"""
    return "lightning" in name.lower() and "_x0" in name.lower()


def choose_steps(names: Sequence[str], steps: int | None) -> int:
    """``steps`` if they are given, else those of the files' names. ``ValueError`` where neither says a number."""
    chosen = distilled_steps(names) if steps is None else steps
    if chosen is None:
        raise ValueError(
            "the number of steps is not known: no file is named as SDXL-Lightning's are; give --steps (steps=N)"
        )
    if not 1 <= chosen <= MOST_STEPS:
        raise ValueError(f"steps {chosen} is out of range; choose 1 to {MOST_STEPS}")
    return chosen


def check_distilled(place: str, scheduler: Mapping[str, Any]) -> None:
    """``ValueError`` where the directory ``place`` holds an ordinary SDXL and nothing is put in its UNet's place:
    without guidance its pictures are wrong. Directories of distilled models (SDXL-Turbo's) space timesteps "trailing".
    """
    spacing = scheduler.get("timestep_spacing")
    if spacing != "trailing":
        raise ValueError(
            f"{place!r} is not a few-step model (its scheduler's timestep_spacing is {spacing!r}, not 'trailing'), and "
            "an ordinary SDXL needs guidance, which is not applied here; give --unet or --lora: SDXL-Lightning's file"
        )
