"""A frame on its way through the phases, and the finished frame that is built from it, for all loops."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..constraints import FrameConstraints
from ..memory import Rewrite
from ..options import StoryOptions
from ..options.partial_images import PartialImages
from ..outputs import Frame, Span
from ..sdedit.pixels import check_finite, to_uint8


@dataclass(eq=False, kw_only=True)
class FrameState:
    """State of a frame: pixels [3, H, W] in [-1, 1] and codes int64 [n]. Each phase reads what those
    before it wrote; ``phases.py`` says which."""

    index: int = 0
    options: StoryOptions | None = None  # of its own, resolved; None: those of its run
    batch: tuple[Any, int] | None = None  # while it is drawn: the FrameBatch, and the place in it
    draft_codes: Tensor | None = None
    draft: Tensor | None = None
    shown: Tensor | None = None  # the corrected pixels; None where the frame is not corrected
    cut_prompt: str | None = None
    codes: Tensor | None = None  # of ``shown``, where they are fed back
    spans: list[Span] = field(default_factory=list)

    @property
    @abstractmethod
    def sentence(self) -> str:
        """The sentence as the ARM reads it."""

    @property
    @abstractmethod
    def rewritten(self) -> Rewrite:
        """Prompt of the diffusion model (Eq. 3)."""

    @property
    @abstractmethod
    def seed(self) -> int:
        """Keys of all the frame's noise."""

    @property
    @abstractmethod
    def noise_index(self) -> int:
        """Keys of the correction's noise: frames of one clip share it."""

    @property
    def constraints(self) -> FrameConstraints:
        """Pictures by which the user constrains this frame's correction."""
        return FrameConstraints()

    @property
    def partial_images(self) -> PartialImages:
        """Pictures of the frame on its way that somebody wants."""
        return 0

    def show(self, pixels: Tensor) -> None:
        """The frame's pixels are these from now on: the draft, then the corrected ones where they are fed back."""

    def clear_frame(self) -> None:
        """Make room for the next frame."""
        self.batch = self.draft_codes = self.draft = self.shown = self.cut_prompt = self.codes = None
        self.spans.clear()

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from (v for v in (self.draft_codes, self.draft, self.shown, self.codes) if v is not None)
        if self.batch is not None:
            yield from self.batch[0].tensors()


def build_frame(state: FrameState) -> Frame:
    """The frame as bytes and lists, once its last phase is over. ``ValueError`` where pixels are not finite."""
    assert state.draft is not None, "a frame that was not drawn"
    assert state.draft_codes is not None, "a frame that was not drawn"
    shown = state.draft if state.shown is None else state.shown
    check_finite(state.index, state.draft, shown)
    draft, image = to_uint8(torch.stack((state.draft, shown)))
    codes = state.draft_codes if state.codes is None else state.codes
    return Frame(
        index=state.index,
        sentence=state.sentence,
        refined_prompt=state.rewritten.text,
        cut_prompt=state.cut_prompt,
        corrected=state.shown is not None,
        draft=draft,
        image=image,
        draft_codes=tuple(state.draft_codes.tolist()),
        codes=tuple(codes.tolist()),
        spans=tuple(state.spans),
        memory_note=state.rewritten.note,
        later_prompts=state.rewritten.later,
    )
