"""Events of the image routes' streams. A client takes an event of a type that it does not know for a partial image, so
there are no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .answers import Shown, look
from .picture_fields import PictureFields

Kind = Literal["image_generation", "image_edit"]


@dataclass(frozen=True)
class Partial:
    """A picture of frame ``index`` (from 0) on its way: ``number`` 0 of a frame is the draft, the following ones, and
    all of an edit, are estimates of the corrected picture."""

    index: int
    number: int
    sentence: str
    width: int
    height: int


def partial_event(kind: Kind, asked: PictureFields, seen: Partial, b64_json: str, created: int) -> dict[str, Any]:
    """A picture that is not finished."""
    return {
        "type": f"{kind}.partial_image",
        "partial_image_index": seen.number,
        **_common(asked, seen, b64_json, created),
        "stage": "draft" if seen.number == 0 and kind == "image_generation" else "correcting",
    }


def completed_event(
    kind: Kind, asked: PictureFields, frame: Shown, b64_json: str, created: int, *, last: bool
) -> dict[str, Any]:
    """A finished frame; the ``last`` one ends the stream."""
    return {
        "type": f"{kind}.completed",
        **_common(asked, frame, b64_json, created),
        "usage": frame.usage.of_pictures(),
        "revised_prompt": frame.refined_prompt,
        "seed": frame.seed,
        "corrected": frame.corrected,
        "last": last,
    }


def _common(asked: PictureFields, seen: Partial | Shown, b64_json: str, created: int) -> dict[str, Any]:
    common = {"b64_json": b64_json, "created_at": created, "quality": "auto", **look(asked, seen.width, seen.height)}
    return {**common, "frame_index": seen.index, "sentence": seen.sentence}
