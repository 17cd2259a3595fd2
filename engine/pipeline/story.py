"""A story in the making: its request, its memory, its stream in the ARM, and the frame that is being made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..constraints import FrameConstraints
from ..memory import Memory, Rewrite
from ..models.interfaces import FrameLayout, SequenceState
from ..options import StoryOptions
from ..options.partial_images import PartialImages
from ..outputs import Frame
from ..request import StoryRequest
from ..sdedit.pixels import from_array
from .frame_state import FrameState


@dataclass(eq=False, kw_only=True)
class Story(FrameState):
    """One story. Its frame (the base class) is number ``index``; those before it are finished."""

    request: StoryRequest
    memory: Memory
    sequence: SequenceState
    rewrites: dict[int, Rewrite] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Index of the frame that is being made."""
        return self.request.sentences[self.index]

    @property
    def rewritten(self) -> Rewrite:
        """The sentence as the memory rewrote it."""
        return self.rewrites[self.index]

    @property
    def seed(self) -> int:
        """The story's."""
        return self.request.seed

    @property
    def noise_index(self) -> int:
        """The frame's number: each is corrected by itself."""
        return self.index

    @property
    def constraints(self) -> FrameConstraints:
        """Its request's, of this frame."""
        return self.request.constraints.of(self.index)

    @property
    def partial_images(self) -> PartialImages:
        """Its request's, for each frame."""
        return self.request.partial_images

    def show(self, pixels: Tensor) -> None:
        """For an ARM that reads earlier frames as pixels."""
        self.sequence.show(self.index, pixels)

    def next_frame(self) -> None:
        """On to the frame after this one."""
        self.clear_frame()
        self.index += 1

    def begin_again(self) -> None:
        """Discard the frame, which failed or was cancelled: back to its beginning. Finished frames stay."""
        if self.batch is not None:
            self.batch[0].release()
        self.clear_frame()
        self.sequence.forget(self.index)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from super().tensors()
        yield from self.sequence.tensors()


def restore_memory(memory: Memory, sentences: Sequence[str], done: Sequence[Frame]) -> None:
    """Give ``memory`` what an earlier run has rewritten of the story, if that is all of it."""
    if done:
        memory.restore(sentences, [*(frame.refined_prompt for frame in done), *done[-1].later_prompts])


def context_pixels(frame: Frame, options: StoryOptions) -> Tensor:
    """Pixels [3, H, W] in [-1, 1] of a finished frame as the ARM's context has it: corrected where fed back."""
    fed_back = options.corrects(frame.index) and options.correction.feed_back
    return from_array((frame.image if fed_back else frame.draft)[None])[0]


def stored_codes(frames: Sequence[Frame], stream: FrameLayout) -> Tensor:
    """Codes int64 [B, N] of finished frames; ``ValueError`` if they cannot be codes of this tokenizer."""
    for frame in frames:
        codes = frame.codes
        if len(codes) != stream.codes_per_frame or not all(0 <= code < stream.codebook_size for code in codes):
            wanted = f"{stream.codes_per_frame} codes from 0 to {stream.codebook_size - 1}"
            raise ValueError(f"frame {frame.index + 1}: {len(codes)} stored codes do not fit; expected {wanted}")
    return torch.tensor([frame.codes for frame in frames])
