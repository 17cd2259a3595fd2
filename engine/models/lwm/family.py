"""LWM as the loops see it: which sequence, batch and session serve stories and videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...options import StoryOptions
from ...sampling import make_sampling_params
from ..interfaces import AutoregressiveModel, VideoSession
from ..tokens_per_pass import SEQUENTIAL
from .batch import RunningBatch, SequenceState
from .clip_session import ClipSession
from .runner import LwmRunner
from .session import ArmSession
from .video_session import LwmVideo, published_params


class Arm(LwmRunner, AutoregressiveModel):
    """An autoregressive model of the LWM family."""

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this kind of drawing, code after code, does not have."""
        flat = options.flat()
        for name in ("arm_steps", "layout", "carry_over"):
            if (value := flat[name]) is not None:
                raise ValueError(f"{name} {value!r} is for Show-o; this ARM draws code after code: leave it out")

    def session(self, stories: int, frames: int, options: StoryOptions, text_tokens: int | None = None) -> ArmSession:
        """Stories in lockstep as ``options`` (resolved) say; ``text_tokens`` bounds their sentences."""
        guided = options.sampling.guidance_scale not in (None, 1.0)
        return ArmSession(self, stories, frames, options.sampling.context, guided, text_tokens)

    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences; ``ValueError`` for one that is too long."""
        return SequenceState(len(sentences), max(len(self.encode(sentence)) for sentence in sentences), self.encode)

    def new_batch(self, sequences: Sequence[SequenceState], options: StoryOptions) -> RunningBatch:
        """Stories side by side, each at a frame of its own."""
        return RunningBatch(self, sequences, options)

    def computes_in_vain(self, options: StoryOptions, stories: int) -> bool:
        """True where a pass draws several codes: those after a wrong guess are thrown away."""
        return self.tokens_per_pass(options.sampling.decoding, stories) != SEQUENTIAL

    @property
    def draws_videos(self) -> bool:
        """Was the model taught videos?"""
        return bool(self.stream.video_prefix) or self.stream.recent_frames is not None

    def video_session(self, videos: int, frames: int, options: StoryOptions) -> VideoSession:
        """Videos side by side, as the model was taught them: all frames in one stream (LWM, which draws the later ones
        by its published settings), or the first and the last ones. ``ValueError`` if it was not taught any."""
        params = make_sampling_params(options)
        if self.stream.video_prefix:
            return LwmVideo(self, videos, frames, published_params(params), options.sampling.decoding)
        if self.stream.recent_frames is not None:
            return ClipSession(self, videos, frames, self.stream.recent_frames, params, options.sampling.decoding)
        raise ValueError("this ARM was not taught videos; choose storyworld-video or lwm+{animatediff,videocrafter2}")

    def video_settings(self, options: StoryOptions) -> Mapping[str, Any]:
        """``later_frames``, where frames after the first are drawn by other settings (LWM's published ones)."""
        first = make_sampling_params(options)
        later = published_params(first).rest if self.stream.video_prefix else first
        if later == first:
            return {}
        return {"later_frames": {"arm_guidance_scale": later.guidance_scale, "top_k": later.top_k or 0}}
