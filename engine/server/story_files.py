"""Files of a story as clients get them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from fastapi.responses import Response
from PIL import Image

from ..outputs import StoryResult
from ..storage.perfetto import trace_events
from ..storage.sheet import draw_sheet
from ..storage.story_reader import draft_name, image_name, read_story
from .errors import ApiError
from .partials import partial_name

FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
BRIEFLY = {"cache-control": "no-cache"}
MAX_INDEX = 10_000


def frame(folder: Path, index: int) -> bytes:
    """The shown frame as PNG; ``ApiError`` (404) until it is there."""
    return _read(folder / image_name(index), f"frame {index}")


def draft(folder: Path, index: int) -> bytes:
    """The draft: the frame's own, or the first of its partial images while it is under way."""
    whole = folder / draft_name(index)
    return _read(whole if whole.is_file() else folder / partial_name(index, 0), f"draft {index}")


def estimate(folder: Path, index: int, number: int) -> bytes:
    """An estimate of the corrected frame."""
    return _read(folder / partial_name(index, number), f"estimate {number} of frame {index}")


def as_png(data: bytes) -> Response:
    """A picture that never changes."""
    return Response(data, media_type="image/png", headers=FOREVER)


def as_webp(data: bytes) -> Response:
    """The picture of a PNG file, lossless, as WebP."""
    buffer = BytesIO()
    with Image.open(BytesIO(data)) as picture:
        picture.save(buffer, "WEBP", lossless=True, method=2)
    return Response(buffer.getvalue(), media_type="image/webp", headers=FOREVER)


def made_file(folder: Path, name: str, media_type: str) -> Response:
    """A file that is written again when the story goes on."""
    return Response(_read(folder / name, name), media_type=media_type, headers=BRIEFLY)


def drawn_sheet(folder: Path) -> Image.Image:
    """The contact sheet of the frames that are there. It is drawn when it is asked for: a worker that drew all of them
    would draw fewer frames."""
    story = _story(folder)
    return draw_sheet(story, story.sentences[0])


def timeline(folder: Path) -> dict[str, Any]:
    """The timeline of the frames that are there, in Chrome's trace format."""
    return trace_events(_story(folder))


def _story(folder: Path) -> StoryResult:
    story = read_story(folder)
    if story is None or not story.frames:
        raise ApiError(404, "the story has no frame (yet)", code="file_not_found")
    return story


def _read(path: Path, what: str) -> bytes:
    """Whole, since the story may be deleted while it is sent."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ApiError(404, f"there is no {what} (yet)", code="file_not_found") from None
