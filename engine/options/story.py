"""Options of one story, in groups, and the flat names by which files and keyword arguments know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from ..memory.settings import MemorySettings
from ..utils.field_types import check_types
from .constraint import ConstraintOptions
from .correction import CorrectionOptions
from .paths import with_values
from .sampling import SamplingOptions
from .show_o import LAYOUT_OPTIONS, ShowOOptions

FLAT_NAMES: Mapping[str, str] = {  # in story.json, in bundle.json and as keywords -> path from StoryOptions
    "memory": "memory.name",
    "memory_model": "memory.model",
    "memory_url": "memory.url",
    "memory_calls": "memory.calls",
    "memory_on_failure": "memory.on_failure",
    "memory_timeout": "memory.timeout",
    "correction": "correction.enabled",
    "correct_first": "correction.first",
    "correct_every": "correction.every",
    "feed_back": "correction.feed_back",
    "strength": "correction.strength",
    "num_inference_steps": "correction.num_inference_steps",
    "guidance_scale": "correction.guidance_scale",
    "negative_prompt": "correction.negative_prompt",
    "sample_posterior": "correction.sample_posterior",
    "correction_size": "correction.size",
    "sampler": "correction.sampler",
    "timestep_spacing": "correction.timestep_spacing",
    "gamma": "correction.gamma",
    "correction_fps": "correction.fps",
    "mask_strength": "constraint.mask_strength",
    "paste_back": "constraint.paste_back",
    "controlnet_scale": "constraint.controlnet_scale",
    "controlnet_start": "constraint.controlnet_start",
    "controlnet_end": "constraint.controlnet_end",
    "guess_mode": "constraint.guess_mode",
    "temperature": "sampling.temperature",
    "top_k": "sampling.top_k",
    "top_p": "sampling.top_p",
    "arm_guidance_scale": "sampling.guidance_scale",
    "context": "sampling.context",
    "decoding": "sampling.decoding",
    "arm_steps": "show_o.steps",
    "layout": "show_o.layout",
    "carry_over": "show_o.carry_over",
}


OF_MASKS = ("mask_strength", "paste_back")
OF_CONTROLNET = ("controlnet_scale", "controlnet_start", "controlnet_end", "guess_mode")


@dataclass(frozen=True)
class StoryOptions:
    """Options of one story. Each group checks its own values; an open field (None) takes the bundle's default.

    :func:`make_options` makes one from flat keywords: ``make_options(strength=0.4, top_k=100)``.
    """

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    correction: CorrectionOptions = field(default_factory=CorrectionOptions)
    constraint: ConstraintOptions = field(default_factory=ConstraintOptions)
    memory: MemorySettings = field(default_factory=MemorySettings)
    show_o: ShowOOptions = field(default_factory=ShowOOptions)

    def __post_init__(self) -> None:
        check_types(self)

    def corrects(self, index: int) -> bool:
        """Is frame ``index`` (from 0) corrected?"""
        return self.correction.corrects(index)

    def flat(self) -> dict[str, Any]:
        """Flat name -> value, as story.json keeps them."""
        return {name: attrgetter(path)(self) for name, path in FLAT_NAMES.items()}

    def recorded(self, *, controlled: bool) -> dict[str, Any]:
        """:meth:`flat` for a story's settings. Left out are the memory's, which records its own, those that each masked
        frame's record has, and, where there is no ControlNet, those of one."""
        left_out = {*OF_MASKS, *(() if controlled else OF_CONTROLNET)}
        return {n: value for n, value in self.flat().items() if n not in left_out and not n.startswith("memory_")}

    def replace(self, **flat: Any) -> StoryOptions:
        """A copy with other values, by their flat names; ``ValueError`` for an unknown name lists the known ones."""
        for name in flat:
            if name not in FLAT_NAMES:
                raise ValueError(f"unknown option {name!r}; choose among {', '.join(FLAT_NAMES)}")
        return with_values(self, {FLAT_NAMES[name]: value for name, value in flat.items()})

    def resolved(self, defaults: Mapping[str, Any]) -> StoryOptions:
        """A copy whose open fields have the values of ``defaults`` (the bundle's, by flat name).

        Options that only another layout reads stay open, so that a value there means that the user gave it.
        """
        flat = self.flat()
        layout = self.show_o.layout or defaults.get("layout")
        unread = {name for name, reader in LAYOUT_OPTIONS.items() if layout not in (None, reader)}
        return self.replace(**{n: value for n, value in defaults.items() if flat[n] is None and n not in unread})


def make_options(**flat: Any) -> StoryOptions:
    """``StoryOptions`` from keyword arguments; an unknown name is a ``ValueError`` that lists the known ones."""
    return StoryOptions().replace(**flat)


def merge_options(options: StoryOptions | None, overrides: Mapping[str, Any]) -> StoryOptions:
    """Options that were given either whole or as flat keywords; ``ValueError`` for both."""
    if "constraints" in overrides:
        raise ValueError("constraints are for the frames of stories; the frames of a video are corrected together")
    if options is not None and overrides:
        raise ValueError(f"give options or keywords, not both; keywords were {', '.join(overrides)}")
    return options if options is not None else make_options(**overrides)
