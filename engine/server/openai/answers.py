"""Objects that ``/v1/images/*`` answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .picture_fields import PictureFields

ANSWERED = ("low", "medium", "high", "xhigh", "max")  # qualities that the client's answer type knows


@dataclass(frozen=True)
class Usage:
    """Tokens of a frame: those of its sentence, and the codes that were drawn (an edit has neither)."""

    text_tokens: int
    image_tokens: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.text_tokens + other.text_tokens, self.image_tokens + other.image_tokens)

    def of_pictures(self) -> dict[str, Any]:
        """As the image routes say it."""
        return {
            "input_tokens": self.text_tokens,
            "output_tokens": self.image_tokens,
            "total_tokens": self.text_tokens + self.image_tokens,
            "input_tokens_details": {"text_tokens": self.text_tokens, "image_tokens": 0},
            "output_tokens_details": {"text_tokens": 0, "image_tokens": self.image_tokens},
        }

    def of_chat(self) -> dict[str, int]:
        """As the chat route says it."""
        total = self.text_tokens + self.image_tokens
        return {"prompt_tokens": self.text_tokens, "completion_tokens": self.image_tokens, "total_tokens": total}


NOTHING = Usage(0, 0)


@dataclass(frozen=True)
class Shown:
    """A finished frame as the routes see it: ``index`` counts from 0, ``width`` and ``height`` are pixels,
    ``phases_ms`` milliseconds a phase."""

    index: int
    sentence: str
    refined_prompt: str
    seed: int
    corrected: bool
    width: int
    height: int
    usage: Usage
    phases_ms: dict[str, float]

    def entry(self, b64_json: str, draft_b64_json: str | None = None) -> dict[str, Any]:
        """An element of ``data``; the client keeps what it has no field for."""
        entry = {"b64_json": b64_json, "revised_prompt": self.refined_prompt, "index": self.index}
        entry |= {"sentence": self.sentence, "seed": self.seed, "corrected": self.corrected}
        return entry if draft_b64_json is None else {**entry, "draft_b64_json": draft_b64_json}


@dataclass(frozen=True)
class Waited:
    """Seconds that a request waited for a worker, and was worked on."""

    queue: float
    inference: float

    def metrics(self, frames: Sequence[Shown]) -> dict[str, Any]:
        """As vLLM-Omni names them; ``stage_durations`` are seconds a phase, summed over the frames."""
        totals: dict[str, float] = {}
        for frame in frames:
            for phase, milliseconds in frame.phases_ms.items():
                totals[phase] = totals.get(phase, 0.0) + milliseconds / 1000
        stages = {phase: round(seconds, 4) for phase, seconds in totals.items()}
        return {
            "stage_durations": stages,
            "inference_time_s": round(self.inference, 4),
            "queue_wait_s": round(self.queue, 4),
        }


def look(asked: PictureFields, width: int, height: int) -> dict[str, Any]:
    """Fields that answers and events share."""
    found = {"background": "opaque", "output_format": asked.output_format, "size": f"{width}x{height}"}
    return found if asked.quality not in ANSWERED else {**found, "quality": asked.quality}


def pictures_answer(
    asked: PictureFields,
    created: int,
    entries: Sequence[dict[str, Any]],
    frames: Sequence[Shown],
    stories: Sequence[str],
    waited: Waited,
) -> dict[str, Any]:
    """The answer to a request for pictures; ``stories`` are the ids under which /v1/stories knows them."""
    usage = sum((frame.usage for frame in frames), NOTHING)
    return {
        "created": created,
        "data": list(entries),
        **look(asked, frames[0].width, frames[0].height),
        "usage": usage.of_pictures(),
        "metrics": waited.metrics(frames),
        **({"story_id": stories[0], "acdc": {"stories": list(stories)}} if stories else {}),
    }
