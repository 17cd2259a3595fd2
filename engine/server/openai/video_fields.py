"""The body of ``POST /v1/videos``: a clip of one sentence, or a story shown as a film."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import field_validator

from .fields import OwnFields, honoured, refused
from .picture_fields import lines_of
from .refusal import Refusal, unsupported

SECONDS, FPS, CHUNK_FRAMES, MOST_FRAMES = 4, 8, 16, 512


class Lengths(NamedTuple):
    """A film's frames, how many of them a second, and how many of a clip are corrected together."""

    num_frames: int
    fps: float
    chunk_frames: int

    @property
    def seconds(self) -> str:
        """The duration as the client's type has it, a text."""
        return f"{self.num_frames / self.fps:g}"


class VideoFields(OwnFields):
    """The body of ``POST /v1/videos``, JSON or a form; numbers may come as texts."""

    prompt: str = honoured("what the clip shows; several lines: a story, one sentence a line", ...)
    sentences: list[str] | None = honoured("the story's sentences, in place of the prompt's lines")
    model: str | None = honoured("a name that GET /v1/models lists; absent: the bundle that is served")
    size: str | None = honoured("the bundle's own, as WIDTHxHEIGHT, or auto")
    seconds: int | None = honoured("the duration (clips: 4; stories: a second a sentence)", ge=1, le=600)
    num_frames: int | None = honoured("frames of a clip (seconds x fps)", ge=1, le=MOST_FRAMES)
    fps: int | None = honoured("frames a second of a clip (8)", ge=1, le=60)
    chunk_frames: int = honoured("frames of a clip that are corrected together", CHUNK_FRAMES, ge=1, le=MOST_FRAMES)
    input_reference: Any = refused("of clips that begin with a given picture")

    @field_validator("seconds", mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        """The client sends the number as a text, in JSON as well."""
        return int(given) if isinstance(given, str) and given.isascii() and given.isdigit() else given

    def story(self) -> tuple[str, ...]:
        """The sentences."""
        return lines_of(self.prompt) if self.sentences is None else tuple(self.sentences)

    def check(self, draws_clips: bool) -> None:
        """:class:`Refusal` for values that cannot be met; ``draws_clips``: the bundle knows moving pictures."""
        if self.input_reference is not None:
            advice = "leave it out; pictures are corrected at /v1/images/edits"
            raise unsupported("input_reference", self.input_reference, advice)
        if len(self.story()) > 1 or not draws_clips:
            for name in ("num_frames", "fps"):
                if getattr(self, name) is not None:
                    advice = "a story has a frame a sentence; give one sentence to a bundle of clips"
                    raise unsupported(name, getattr(self, name), advice)
        elif self.num_frames is None and (frames := self.lengths(True).num_frames) > MOST_FRAMES:
            raise Refusal(f"seconds {self.seconds} are {frames} frames; the limit is {MOST_FRAMES}", "seconds")
        elif self.num_frames and self.seconds and self.fps and self.num_frames != self.seconds * self.fps:
            raise Refusal(f"num_frames {self.num_frames} are not seconds x fps; give two of the three", "num_frames")

    def is_clip(self, draws_clips: bool) -> bool:
        """Moving pictures of one sentence, or else a story?"""
        return draws_clips and len(self.story()) == 1

    def lengths(self, draws_clips: bool) -> Lengths:
        """Number and rate of the frames."""
        if not self.is_clip(draws_clips):
            frames = len(self.story())
            return Lengths(frames, frames / (self.seconds or frames), 1)
        if self.num_frames is None:
            whole = self.fps or FPS
            return Lengths((self.seconds or SECONDS) * whole, whole, self.chunk_frames)
        fps = self.fps or (self.num_frames / self.seconds if self.seconds else FPS)
        return Lengths(self.num_frames, fps, self.chunk_frames)


class RemixFields(VideoFields):
    """The body of ``POST /v1/videos/{id}/remix`` and ``/v1/videos/extensions``: fields that are absent are those of the
    video that is remixed, the seed among them."""

    extend: bool = honoured("go on after the video's frames instead of drawing them again", False)
    video_id: str | None = honoured("extensions: the video's id")
    video: Any = honoured("extensions: the video, as {id}; files are refused")

    def source(self) -> str:
        """The id of the video to extend."""
        if isinstance(self.video, dict) and isinstance(self.video.get("id"), str):
            return str(self.video["id"])
        if self.video is not None:
            raise unsupported("video", type(self.video).__name__, "give {'id': ...} or video_id of a video drawn here")
        if self.video_id is None:
            raise Refusal("video is missing; give {'id': ...}, or video_id", "video", "missing_required_parameter")
        return self.video_id
