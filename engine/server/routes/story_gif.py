"""``/v1/stories/{name}/story.gif``: a story's frames as one moving picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Response
from numpy.typing import NDArray
from PIL import Image

from ...storage.story_reader import image_name
from ...storage.video_io import encode_gif
from ..errors import ApiError
from ..story_files import BRIEFLY
from .story_files import In

router = APIRouter(prefix="/v1/stories/{name}", tags=["files"])


@router.get("/story.gif", response_class=Response)
def gif(folder: In, frame_duration_ms: Annotated[int, Query(ge=20, le=10_000)] = 900) -> Response:
    """The frames that are finished, again and again; small ones are enlarged pixel by pixel."""
    pictures = read_frames(folder)
    if not pictures:
        raise ApiError(404, "the story has no frame (yet)", code="file_not_found")
    data = encode_gif(pictures, [frame_duration_ms] * len(pictures))
    return Response(data, media_type="image/gif", headers=BRIEFLY)


def read_frames(folder: Path) -> list[NDArray[np.uint8]]:
    """A story's frames, uint8 [H, W, 3] each, up to the first that is missing."""
    frames: list[NDArray[np.uint8]] = []
    while (path := folder / image_name(len(frames))).is_file():
        with Image.open(path) as picture:
            frames.append(np.asarray(picture.convert("RGB")))
    return frames
