"""The seven phases of a frame (ACDC, arXiv 2410.04721, section 3), each a function that all loops call.

    rewrite         a prompt that needs no other (Eq. 3)
    prefill         the ARM reads the sentence
    sample          the ARM draws the frame's codes (Eq. 1, Eq. 4 frame by frame of a video)
    vq_decode       codes to pixels: the draft
    sdedit          SDEdit under the rewritten prompt (Eq. 2), of the frames of a clip together (Eq. 5)
    vq_encode       corrected pixels to codes
    update_context  these codes take the draft's place in the ARM's context (Eq. 6)

The serial, the video and the concurrent loop differ in order and overlap alone. A phase takes frames that are computed
side by side, whichever number each has; what it finds out is written to them only when all of it is there, so that a
launch that fails can be begun again. None of them waits for the device, unless somebody wants pictures on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..memory import Memory, Rewrite
from ..models.interfaces import FrameBatch, RunningBatch, VideoSession
from ..models.model_set import Models
from ..options import StoryOptions
from ..options.partial_images import check_steps
from ..outputs import PartialImage
from ..request import StoryRequest
from ..sdedit.correction import Correction
from ..sdedit.observer import Observer
from ..sdedit.pixels import from_array, to_uint8
from ..sdedit.region import resized
from ..utils.rng import Purpose, make_keys
from .frame_state import FrameState
from .story import Story

Frames = TypeVar("Frames", bound=FrameState)
Corrected = tuple[Tensor, Tensor | None, list[str | None]]  # pixels, codes where there are some, cut prompts


def rewrite(memory: Memory, sentences: Sequence[str], index: int) -> Rewrite:
    """The prompt of frame ``index``, from the sentences up to it (Eq. 3). Those after it are seen by a language model
    alone that is asked once for the whole story."""
    return memory.rewrite(sentences[: index + 1], sentences[index + 1 :])


class Phases:
    """The phases on one set of models with one set of options."""

    def __init__(self, models: Models, options: StoryOptions) -> None:
        """``options`` are resolved. ``ValueError`` if they cannot be met."""
        models.arm.check(options)
        self.models, self.options = models, options
        self.on_partial: Callable[[FrameState, PartialImage], None] | None = None  # called in the midst of a phase
        self.correction = Correction(models.corrector, options)
        like = next(iter(models.tokenizer.parameters()))
        self.device, self.dtype = like.device, like.dtype

    def batch_of(self, stories: Sequence[Story]) -> RunningBatch:
        """Stories whose next frame is to be drawn, side by side in the ARM."""
        return self.models.arm.new_batch([story.sequence for story in stories], self.options)

    def prefill(self, batch: FrameBatch, frames: Sequence[FrameState]) -> None:
        """The ARM reads the frames' sentences, with what was corrected since; the frames are drawn in ``batch``."""
        batch.begin([frame.sentence for frame in frames])
        indexes = [frame.index for frame in frames]
        batch.start(make_keys(_seeds(frames), indexes, Purpose.TOKEN, self.device))
        for place, frame in enumerate(frames):
            frame.batch = batch, place

    def sample(self, frames: Sequence[Frames], max_passes: int | None = None) -> list[Frames]:
        """The ARM draws codes (Eq. 1; Eq. 4 of a video's frame), from one batch or several, which become one. Returns
        the frames that are not drawn to their ends after ``max_passes`` passes (None: as many as it takes)."""
        members = [frame.batch for frame in frames if frame.batch is not None]
        batch, places = members[0][0].merge(self.models.arm, members)
        for frame, place in zip(frames, places, strict=True):
            frame.batch = batch, place
        done, unfinished = batch.advance(max_passes), []
        for frame, place in zip(frames, places, strict=True):
            if done[place]:
                frame.draft_codes, frame.batch = batch.pop(place), None
            else:
                unfinished.append(frame)
        return unfinished

    def force_codes(self, stories: Sequence[Story], codes: Tensor) -> None:
        """Codes [B, n] instead of a draw: of a picture that is given, or of a frame of an earlier run. They enter the
        ARM's cache at once."""
        for story, own in zip(stories, codes.unbind(0), strict=True):
            assert story.batch is not None, "prefill() comes before the codes"
            batch, place = story.batch
            batch.give(place, own)
            story.draft_codes, story.batch = own, None
        self.batch_of(stories).write_cache()

    def vq_decode(self, frames: Sequence[FrameState]) -> None:
        """Codes to pixels, the drafts."""
        drafts = self.models.tokenizer.decode(_stacked(frames, "draft_codes"))
        for frame, draft in zip(frames, drafts.unbind(0), strict=True):
            frame.draft = draft
            frame.show(draft)
            if (frame.options or self.options).corrects(frame.index):  # else the draft is the frame
                self._hand_out(frame, 0, None, draft)

    def check_constraints(self, request: StoryRequest) -> None:
        """``ValueError`` (one line) for constraints that cannot be met; called before the story's first frame."""
        given, length = request.constraints, len(request.sentences)
        given.check(length, self.options)
        if not given:
            return
        if self.models.correction is not None:
            raise ValueError("a plan of the whole correction takes no mask or depth map; choose --backend unet=NAME")
        self.correction.check(given, length, self.models.tokenizer.config.resolution)

    def check_partial_images(self, request: StoryRequest) -> None:
        """``ValueError`` (one line) where the correction has no such steps, or runs as one plan that shows none."""
        wanted, correction = request.partial_images, self.options.correction
        if wanted in (0, 1, ()) or not correction.enabled:
            return
        if self.models.correction is not None:
            advice = "choose --backend unet=NAME, or partial_images 1 for the draft"
            raise ValueError(f"a plan of the whole correction gives no estimates for partial_images {wanted}; {advice}")
        check_steps(wanted, len(self.correction.schedule.steps))

    def sdedit(self, frames: Sequence[FrameState], as_clip: bool = False) -> None:
        """SDEdit of each draft under its rewritten prompt (Eq. 2); of a clip's frames together under one (Eq. 5). The
        codes are there, too, where a backend's plan of the whole correction makes them. Frames with constraints of the
        same kinds are computed side by side."""
        groups = [list(frames)] if as_clip else in_groups(frames, lambda frame: self.correction.kind(frame.constraints))
        found = [self._corrected(group, as_clip) for group in groups]
        for group, (shown, codes, cut) in zip(groups, found, strict=True):
            for place, frame in enumerate(group):
                frame.shown, frame.cut_prompt = shown[place], cut[place]
                frame.codes = None if codes is None or not self.options.correction.feed_back else codes[place]

    def _corrected(self, frames: Sequence[FrameState], as_clip: bool) -> Corrected:
        prompted = frames[:1] if as_clip else frames  # one prompt for a clip
        given = [] if as_clip else [frame.constraints for frame in frames]
        pixels = torch.stack([self._given(frame) for frame in frames])
        conditioning, cut = self.correction.condition([frame.rewritten.text for frame in prompted], given)
        noise_indexes = [frame.noise_index for frame in prompted]
        inputs = pixels[None] if as_clip else pixels, conditioning, _seeds(prompted), noise_indexes
        if self.models.correction is not None:
            shown, codes = self.models.correction(self.correction, *inputs)
        else:
            shown, codes = self.correction.run(*inputs, given, self._observer(frames)), None
        return (shown[0], None if codes is None else codes[0], cut * len(frames)) if as_clip else (shown, codes, cut)

    def _observer(self, frames: Sequence[FrameState]) -> Observer | None:
        """For estimates of frames that are corrected side by side; None where nobody wants any."""
        if self.on_partial is None or not any(frame.partial_images for frame in frames):
            return None

        def take(row: int, number: int, step: int, pixels: Tensor) -> None:
            self._hand_out(frames[row], number, step, pixels)

        return Observer([frame.partial_images for frame in frames], take)

    def _hand_out(self, frame: FrameState, number: int, step: int | None, pixels: Tensor) -> None:
        if self.on_partial is not None and frame.partial_images != 0:
            self.on_partial(frame, PartialImage(frame.index, number, step, to_uint8(pixels)))

    def _given(self, frame: FrameState) -> Tensor:
        """Pixels [3, H, W] that are corrected: the draft, or the canvas in its place."""
        assert frame.draft is not None, "vq_decode() comes before sdedit()"
        canvas = frame.constraints.canvas
        if canvas is None:
            return frame.draft
        size = (frame.draft.shape[-2], frame.draft.shape[-1])
        return from_array(resized(canvas, size)[None])[0].to(frame.draft)

    def vq_encode(self, frames: Sequence[FrameState]) -> None:
        """Corrected pixels to codes."""
        found = [frame.codes for frame in frames if frame.codes is not None]
        whole = len(found) == len(frames)
        codes = torch.stack(found) if whole else self.models.tokenizer.encode(_stacked(frames, "shown"))
        for frame, own in zip(frames, codes.unbind(0), strict=True):
            frame.codes = own

    def update_context(self, stories: Sequence[Story], at_once: bool = True) -> None:
        """Corrected codes take the place of the drafts' in the ARM's context (Eq. 6 with one frame a story). They enter
        its cache ``at_once``, in one parallel pass, or with the next sentence."""
        for story in stories:
            assert story.codes is not None, "vq_encode() comes before update_context()"
            assert story.shown is not None, "sdedit() comes before update_context()"
            story.sequence.replace(story.codes)
            story.show(story.shown)
        if at_once:
            self.batch_of(stories).write_cache()

    def update_clip_context(self, session: VideoSession, frames: Sequence[FrameState]) -> None:
        """The corrected codes of a clip take the place of its drafts' together (Eq. 6)."""
        session.replace(frames[0].index, _stacked(frames, "codes")[None])


def in_groups(frames: Iterable[Frames], kind: Callable[[Frames], Hashable]) -> list[list[Frames]]:
    """The frames of each kind, in their order."""
    groups: dict[Hashable, list[Frames]] = {}
    for frame in frames:
        groups.setdefault(kind(frame), []).append(frame)
    return list(groups.values())


def _seeds(frames: Sequence[FrameState]) -> list[int]:
    return [frame.seed for frame in frames]


def _stacked(frames: Sequence[Any], name: str) -> Tensor:
    return torch.stack([getattr(frame, name) for frame in frames])
