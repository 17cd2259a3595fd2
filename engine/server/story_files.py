"""Files of a story as clients get them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from fastapi.responses import FileResponse, Response
from PIL import Image

from ..storage.story_reader import draft_name, image_name
from .errors import ApiError
from .partials import partial_name

FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
BRIEFLY = {"cache-control": "no-cache"}
MAX_INDEX = 10_000


def frame_file(folder: Path, index: int) -> Path:
    """The shown frame; ``ApiError`` (404) until it is there."""
    return _existing(folder / image_name(index), f"frame {index}")


def draft_file(folder: Path, index: int) -> Path:
    """The draft: the frame's own, or the first of its partial images while it is under way."""
    whole = folder / draft_name(index)
    return whole if whole.is_file() else _existing(folder / partial_name(index, 0), f"draft {index}")


def estimate_file(folder: Path, index: int, number: int) -> Path:
    """An estimate of the corrected frame."""
    return _existing(folder / partial_name(index, number), f"estimate {number} of frame {index}")


def png(path: Path) -> FileResponse:
    """A picture that never changes."""
    return FileResponse(path, media_type="image/png", headers=FOREVER)


def webp(path: Path) -> Response:
    """The picture, lossless, as WebP."""
    buffer = BytesIO()
    with Image.open(path) as picture:
        picture.save(buffer, "WEBP", lossless=True, method=2)
    return Response(buffer.getvalue(), media_type="image/webp", headers=FOREVER)


def made_file(folder: Path, name: str, media_type: str) -> FileResponse:
    """A file that is written again when the story goes on."""
    return FileResponse(_existing(folder / name, name), media_type=media_type, headers=BRIEFLY)


def _existing(path: Path, what: str) -> Path:
    if not path.is_file():
        raise ApiError(404, f"there is no {what} (yet)", code="file_not_found")
    return path
