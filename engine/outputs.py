"""Outputs of a story: phases, frames, results. No tensors, no models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Ran(NamedTuple):
    """In seconds since the loop began: a launch on a slot, or a memory call (slot None)."""

    slot: int | None
    phase: Phase
    stories: tuple[str, ...]
    start: float
    end: float


class Phase(StrEnum):
    """The phases of a chunk, in pipeline order."""

    MEMORY = "memory"
    PREFILL = "prefill"
    SAMPLE = "draw"  # values are on disk and stay
    VQ_DECODE = "decode"
    SDEDIT = "correct"
    VQ_ENCODE = "encode"
    UPDATE_CONTEXT = "replace"


class Span(NamedTuple):
    """When a phase ran: milliseconds since the story began, and for how long."""

    phase: Phase
    start_ms: float
    duration_ms: float


@dataclass(frozen=True)
class Frame:
    """One finished chunk. Images are uint8 [H, W, 3]; codes are the ARM's image tokens in raster order.

    ``draft`` is what the ARM drew, ``image`` what is shown (the corrected pixels, or the draft where the frame was
    not corrected). ``draft_codes`` were drawn; ``codes`` are in the ARM's context afterwards.
    ``cut_prompt`` is the part of the refined prompt that the text encoder saw when it was too long, else None.
    ``spans`` says when each phase ran; stories of one batch share their launches' spans. ``memory_note`` says why the
    refined prompt is not the memory's own (a language model failed, and rules replaced it), else None.
    ``later_prompts`` are the rewrites of the sentences after this one, where the memory was asked once for the story.
    """

    index: int
    sentence: str
    refined_prompt: str
    cut_prompt: str | None
    corrected: bool
    draft: NDArray[np.uint8]
    image: NDArray[np.uint8]
    draft_codes: tuple[int, ...]
    codes: tuple[int, ...]
    spans: tuple[Span, ...]
    memory_note: str | None = None
    later_prompts: tuple[str, ...] = ()

    @property
    def phases_ms(self) -> dict[str, float]:
        """Milliseconds of every phase; 0 = not run."""
        times = {phase.value: 0.0 for phase in Phase}
        for span in self.spans:
            times[span.phase.value] += span.duration_ms
        return times


@dataclass(frozen=True)
class PartialImage:
    """Frame ``index`` of a story on its way to being corrected. ``number`` counts a frame's partial images: 0 is the
    draft (``step`` None), the following ones are estimates of the corrected frame, made at ``step`` (from 0) of the
    correction. ``image`` is uint8 [H, W, 3]."""

    index: int
    number: int
    step: int | None
    image: NDArray[np.uint8]


@dataclass
class StoryResult:
    """A finished story. ``settings`` are the resolved options, ``start`` where on the noise schedule SDEdit began,
    ``id`` its name among many, ``constraints`` the digests of the pictures that constrained a frame, by its number."""

    sentences: tuple[str, ...]
    seed: int
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    start: Mapping[str, float]
    frames: list[Frame] = field(default_factory=list)
    id: str | None = None
    constraints: Mapping[str, Any] = field(default_factory=dict)

    @property
    def refined_prompts(self) -> list[str]:
        """The diffusion model's prompts, one a frame."""
        return [frame.refined_prompt for frame in self.frames]

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """The shown frames, uint8 [H, W, 3] each."""
        return [frame.image for frame in self.frames]
