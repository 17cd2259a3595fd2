"""Frames from disk, one at a time; a clip that is read in order is decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....engine.storage.picture_files import find_picture, read_frames
from ....engine.utils.picture import read_picture
from .story_set import Picture


class FrameReader:
    """Reads :class:`Picture` as uint8 ``[H, W, 3]``, writable as torch wants it; what is transparent is white."""

    def __init__(self) -> None:
        self._clip: Path | None = None
        self._frames: Iterator[NDArray[np.uint8]] = iter(())
        self._next = 0

    def __call__(self, picture: Picture) -> NDArray[np.uint8]:
        """``ValueError`` or ``OSError`` for a file that went since it was surveyed."""
        if picture.place is None:
            return np.array(read_picture(picture.path, "picture"))
        if self._clip != picture.path or self._next > picture.place:
            self._clip, self._next = picture.path, 0
            self._frames = iter(read_frames(find_picture(str(picture.path))))
        for frame in self._frames:
            self._next += 1
            if self._next > picture.place:
                return np.array(frame)
        raise ValueError(f"{str(picture.path)!r} has no frame {picture.place + 1} any more")
