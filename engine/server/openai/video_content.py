"""A video's files: the film, a picture of it, and all its pictures on one sheet."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ...storage.video_io import encode_mp4, no_mp4_reason
from ...utils.atomic import write_bytes
from ..errors import NO_RETRY, ApiError
from ..story_files import drawn_sheet, frame

MP4 = "video.mp4"
QUALITY = 90
FINEST = 1000  # the largest denominator of a rate


def film(folder: Path, frames: int, fps: float) -> bytes:
    """The MP4, which is made when it is first asked for; ``ApiError`` (501) where PyAV is missing."""
    path = folder / MP4
    if not path.is_file():
        if (reason := no_mp4_reason()) is not None:
            raise ApiError(501, reason, code="mp4_unavailable", headers=NO_RETRY)
        pictures = (_pixels(folder, index) for index in range(frames))
        write_bytes(path, encode_mp4(pictures, Fraction(fps).limit_denominator(FINEST)))
    return path.read_bytes()


def thumbnail(folder: Path) -> bytes:
    """The first frame as WebP."""
    with Image.open(BytesIO(frame(folder, 0))) as picture:
        return _as(picture, "WEBP")


def sheet(folder: Path) -> bytes:
    """The contact sheet as JPEG."""
    return _as(drawn_sheet(folder), "JPEG")


def _as(picture: Image.Image, form: str) -> bytes:
    buffer = BytesIO()
    picture.convert("RGB").save(buffer, form, quality=QUALITY)
    return buffer.getvalue()


def _pixels(folder: Path, index: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    with Image.open(BytesIO(frame(folder, index))) as picture:
        return np.asarray(picture.convert("RGB"))
