"""Bodies of ``/v1/images/generations`` and ``/v1/images/edits``: fields by the names of OpenAI's client, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ...options import FLAT_NAMES
from .fields import MORE_OPTIONS, OwnFields, honoured, ignored, refused
from .refusal import Refusal, unsupported

Quality = Literal["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"]
STEPS: Mapping[str, int] = {"low": 10, "medium": 20, "high": 50, "xhigh": 50, "max": 50, "hd": 50}  # others: bundle's
FIDELITY: Mapping[str, float] = {"high": 0.4, "low": 0.6}  # t': the less is noised, the more of the picture stays
MOST_PICTURES, MOST_PARTIALS = 10, 3
OF_STORIES = ("correct_first", "correct_every", "feed_back")  # pictures have no loop
OF_CORRECTION = tuple(
    name
    for name, path in FLAT_NAMES.items()
    if path.startswith("correction.") and name in MORE_OPTIONS and name not in OF_STORIES
)


class PictureFields(OwnFields):
    """Fields that both routes share."""

    prompt: str = honoured("the sentence that the frame shows", ...)
    model: str | None = honoured("a name that GET /v1/models lists; absent: the bundle that is served")
    n: int = honoured("number of pictures, with seeds seed, seed + 1, ...", 1, ge=1, le=MOST_PICTURES)
    size: str | None = honoured("the bundle's own, as WIDTHxHEIGHT, or auto")
    quality: Quality = honoured("steps: low 10, medium 20, high, xhigh, max, hd 50; auto, standard: bundle's", "auto")
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] = honoured("png, webp, jpeg; gif: an animation", "png")
    output_compression: int | None = honoured("quality of webp and jpeg, 0 to 100 (default)", ge=0, le=100)
    response_format: Literal["b64_json", "url"] = honoured("b64_json", "b64_json")
    background: Literal["transparent", "opaque", "auto"] = honoured("opaque or auto", "auto")
    stream: bool = honoured("send server-sent events", False)
    partial_images: int = honoured("with stream: pictures of a frame on its way", 0, ge=0, le=MOST_PARTIALS)
    user: str | None = ignored("no effect")
    safety_identifier: str | None = ignored("no effect")

    def check(self) -> None:
        """:class:`Refusal` for values that are well-formed and cannot be met."""
        if self.output_format == "svg":
            raise unsupported("output_format", "svg", "choose png, webp, jpeg or gif")
        if self.response_format == "url":
            raise unsupported("response_format", "url", "choose b64_json")
        if self.background == "transparent":
            raise unsupported("background", "transparent", "choose opaque or auto")
        if self.output_compression is not None and self.output_format not in ("webp", "jpeg"):
            raise unsupported("output_compression", self.output_compression, "choose output_format webp or jpeg")
        if self.stream and self.n > 1:
            raise unsupported("n", self.n, "choose 1 with stream; a stream is of one picture or story")
        if self.partial_images and not self.stream:
            raise Refusal(f"partial_images {self.partial_images} needs stream; set stream to true", "partial_images")

    def options(self) -> dict[str, Any]:
        """The story's options, of which ``quality`` decides the steps where nothing else does."""
        steps = {"num_inference_steps": STEPS[self.quality]} if self.quality in STEPS else {}
        return steps | super().options()


class GenerationFields(PictureFields):
    """The body of ``POST /v1/images/generations``."""

    prompt: str = honoured("the sentence that the frame shows; several lines: a story, one sentence a line", ...)
    sentences: list[str] | None = honoured("the story's sentences, in place of the prompt's lines")
    frame_count: int | None = honoured("with gif: the number of the story's sentences", ge=2, le=16)
    frame_duration_ms: int | None = honoured("with gif: how long each frame is shown (200)", ge=20, le=10_000)
    moderation: Literal["low", "auto"] | None = ignored("no effect")
    style: Literal["vivid", "natural"] | None = ignored("no effect")
    complexity: Any = refused("of vector pictures, which are not drawn")
    svg: Any = refused("of vector pictures, which are not drawn")

    def story(self) -> tuple[str, ...]:
        """The sentences, one a frame."""
        return lines_of(self.prompt) if self.sentences is None else tuple(self.sentences)

    def check(self) -> None:
        super().check()
        for name in ("complexity", "svg"):
            if getattr(self, name) is not None:
                raise unsupported(name, getattr(self, name), "leave it out; pictures are png, webp, jpeg or gif")
        frames = len(self.story())
        if self.n > 1 and frames > 1:
            raise Refusal(f"n {self.n} with a story of {frames} sentences; ask for one story a request", "n")
        if self.output_format != "gif":
            for name in ("frame_count", "frame_duration_ms"):
                if getattr(self, name) is not None:
                    raise unsupported(name, getattr(self, name), "choose output_format gif")
        elif self.stream:
            raise unsupported("stream", True, "an animation is sent whole; leave stream out, or choose png")
        elif self.frame_count not in (None, frames):
            advice = f"a gif of {self.frame_count} frames takes that number of sentences, and here are {frames}"
            raise Refusal(f"frame_count {self.frame_count}: {advice}", "frame_count")


class EditFields(PictureFields):
    """Text fields of ``POST /v1/images/edits``; the pictures come with them as files."""

    prompt: str = honoured("the text under which the pictures are corrected", ...)
    input_fidelity: Literal["high", "low"] | None = honoured("strength where it is not given: high 0.4, low 0.6")
    markup: Any = refused("of drawings on a picture, which are not read; mark the part to change by mask")

    def check(self) -> None:
        super().check()
        if self.output_format == "gif":
            raise unsupported("output_format", "gif", "choose png, webp or jpeg")
        if self.correction is not None:
            raise unsupported("correction", self.correction, "an edit is a correction; leave it out")
        for name in ("temperature", "top_k"):
            if getattr(self, name) is not None:
                raise unsupported(name, getattr(self, name), "an edit draws no tokens; leave it out")
        for name, value in (self.acdc or {}).items():
            if name not in OF_CORRECTION:
                raise unsupported(f"acdc.{name}", value, f"choose among {', '.join(OF_CORRECTION)}")
        if self.include_drafts:
            raise unsupported("include_drafts", True, "an edit has none; leave it out")

    def options(self) -> dict[str, Any]:
        strength = {} if self.input_fidelity is None else {"strength": FIDELITY[self.input_fidelity]}
        return strength | super().options()


def lines_of(prompt: str) -> tuple[str, ...]:
    """The sentences of a prompt: one a line, empty lines left out."""
    return tuple(line.strip() for line in prompt.splitlines() if line.strip())


def check_size(asked: str | None, sizes: Sequence[str]) -> None:
    """:class:`Refusal` for a size that no picture of the bundle has."""
    if asked not in (None, "auto", *sizes):
        raise Refusal(f"size {asked!r} is not the bundle's; choose auto or {', '.join(sizes)}", "size", "invalid_size")
