"""Options of user constraints, and the pictures that they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cloup import option, option_group

from ..constraints import Constraints
from ..options import EngineOptions, StoryOptions
from ..request import StoryRequest
from .flags import Decorator, flag
from .inputs import check_name

PICTURES = (
    option(
        "--mask",
        "masks",
        multiple=True,
        metavar="[N=]FILE",
        help="Correct only the white part of this picture: in frame N, or in every frame that has no mask of its own; "
        "may be repeated.",
    ),
    option(
        "--depth",
        "depths",
        multiple=True,
        metavar="[N=]FILE",
        help="Steer the correction of frame N, or of every other frame, by this depth map (near is bright); needs a "
        "ControlNet; may be repeated.",
    ),
)
STEERING = (
    flag(
        "--mask-strength",
        "constraint.mask_strength",
        "Add noise to a frame with a mask up to this fraction t' of the noise schedule, in (0, 1]; 1 redraws the white "
        "part from noise.",
        unset="that of --strength",
    ),
    flag(
        "--no-paste-back",
        "constraint.paste_back",
        "Show what the diffusion model's autoencoder makes of the black part of a mask, not the draft's own pixels.",
        value=False,
    ),
    flag(
        "--controlnet",
        "engine.controlnet",
        "Load this ControlNet, a directory as diffusers writes it.",
        unset="the bundle's, or none",
        metavar="DIR",
    ),
    flag(
        "--depth-model",
        "engine.depth_model",
        "Estimate the depth of drafts that have no depth map with this model, a directory as transformers writes it.",
        unset="the bundle's, or none",
        metavar="DIR",
    ),
    flag("--controlnet-scale", "constraint.controlnet_scale", "Multiply the ControlNet's residuals by this factor."),
    flag(
        "--controlnet-start",
        "constraint.controlnet_start",
        "Let the ControlNet steer from this fraction of the steps that run.",
    ),
    flag(
        "--controlnet-end",
        "constraint.controlnet_end",
        "Let the ControlNet steer up to this fraction of the steps that run.",
    ),
    flag(
        "--guess-mode",
        "constraint.guess_mode",
        "Weaken the ControlNet's early residuals, and leave the unconditional branch of guidance without them.",
    ),
)


def constraints(*, pictures: bool) -> Decorator:
    """The group of a command; ``pictures``: it draws one story, whose frames they name."""
    return option_group("Constraints", *(PICTURES if pictures else ()), *STEERING)


def read_constraints(masks: Sequence[str], depths: Sequence[str], redo: int | None = None) -> Constraints:
    """The pictures of ``--mask`` and ``--depth``; one without a number is for every frame, or at ``--redo`` for that
    one. ``ValueError`` (one line) for a picture that is unfit, or a frame that is given two."""
    given: dict[str, Any] = {}
    for kind, texts in (("mask", masks), ("depth", depths)):
        numbered: dict[int, str] = {}
        for text in texts:
            number, name = parse(f"--{kind}", text)
            number = redo if number is None else number
            if number in numbered or (number is None and kind in given):
                which = "every frame" if number is None else f"frame {number}"
                raise ValueError(f"--{kind} is given twice for {which}; give it once")
            if number is None:
                given[kind] = name
            else:
                numbered[number] = name
        given[f"{kind}s"] = numbered
    return Constraints(**given)


def parse(flag_name: str, text: str) -> tuple[int | None, str]:
    """``2=FILE`` -> (2, FILE); ``FILE`` -> (None, FILE)."""
    found = re.fullmatch(r"(\d{1,6})=(.*)", text, re.DOTALL)
    name = text if found is None else found[2]
    check_name(flag_name, name)
    return (None, name) if found is None else (int(found[1]), name)


def check_control(given: Constraints, engine_options: EngineOptions, options: StoryOptions, length: int) -> None:
    """``ValueError`` before anything is loaded: for frames that cannot be constrained, and for a ControlNet that would
    have nothing to steer by."""
    given.check(length, options)
    if engine_options.controlnet is not None and not (given.has_depth or engine_options.depth_model is not None):
        raise ValueError("--controlnet is given without a depth map; give --depth FILE or --depth-model DIR")


def check_all_constraints(
    requests: Sequence[StoryRequest], engine_options: EngineOptions, options: StoryOptions
) -> None:
    """The same of many stories."""
    for request in requests:
        try:
            request.constraints.check(len(request.sentences), options)
        except ValueError as error:
            raise ValueError(f"story {request.id!r}: {error}") from None
    steered = engine_options.depth_model is not None or any(request.constraints.has_depth for request in requests)
    if engine_options.controlnet is not None and not steered:
        raise ValueError('--controlnet is given without a depth map; give "depth" in --stories, or --depth-model DIR')
