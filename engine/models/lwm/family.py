"""LWM as the loops see it: which session, sequence and batch serve stories and videos."""

from __future__ import annotations

from collections.abc import Sequence

from ...options import StoryOptions
from ...sampling import SamplingParams
from ..interfaces import VideoSession
from .batch import RunningBatch, SequenceState, merge_batches
from .clip_session import ClipSession
from .runner import LwmRunner
from .session import ArmSession
from .video_session import LwmVideo, published_params


class Arm(LwmRunner):
    """An autoregressive model of the LWM family (``AutoregressiveModel``)."""

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this kind of drawing, code after code, does not have."""
        for name in ("arm_steps", "layout", "carry_over"):
            value = getattr(options, name)
            if value is not None:
                raise ValueError(f"{name} {value!r} is for Show-o; this ARM draws code after code: leave it out")

    def session(self, stories: int, frames: int, options: StoryOptions, text_tokens: int | None = None) -> ArmSession:
        """Stories side by side as ``options`` (resolved) say; ``text_tokens`` bounds their sentences."""
        guided = options.arm_guidance_scale not in (None, 1.0)
        return ArmSession(self, stories, frames, options.context, guided, text_tokens)

    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences among others; ``ValueError`` for one that is too long."""
        return SequenceState(len(sentences), max(len(self.encode(sentence)) for sentence in sentences), self.encode)

    def new_batch(self, sequences: Sequence[SequenceState], options: StoryOptions) -> RunningBatch:
        """Stories at whichever frame each stands, side by side."""
        return RunningBatch(self, sequences, options)

    def merge_batches(
        self, members: Sequence[tuple[RunningBatch, int]], options: StoryOptions
    ) -> tuple[RunningBatch, list[int]]:
        """Stories in the middle of their draws, in one group, and their places there."""
        return merge_batches(self, members, options)

    def later_params(self, params: SamplingParams) -> SamplingParams:
        """How a video's frames behind the first are drawn, which is drawn by ``policy``: LWM's by other settings."""
        return published_params(params).rest if self.stream.video_prefix else params

    def video_session(self, videos: int, frames: int, params: SamplingParams) -> VideoSession:
        """Videos side by side, as the model was taught them: all frames in one stream (LWM, which draws the later ones
        by its published settings), or the first and the last ones. ``ValueError`` if it was not taught any."""
        if self.stream.video_prefix:
            return LwmVideo(self, videos, frames, published_params(params))
        if self.stream.recent_frames is not None:
            return ClipSession(self, videos, frames, self.stream.recent_frames, params)
        raise ValueError("this ARM was not taught videos; choose a bundle that was (storyworld-video, lwm+animatediff)")
