"""Inputs of networks: frames, texts, frames with texts, and clips, each under a name of its contents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .sets.frame_reader import FrameReader
from .sets.story_set import Picture


class Item(Protocol):
    """One input. ``key`` names its contents; ``load`` reads it."""

    @property
    def key(self) -> str:
        """Digest of the contents."""
        ...

    def load(self, read: FrameReader) -> Any:
        """The input that the network takes."""
        ...


class FrameItem(NamedTuple):
    """A frame, uint8 [H, W, 3]."""

    picture: Picture

    @property
    def key(self) -> str:
        return self.picture.key

    def load(self, read: FrameReader) -> NDArray[np.uint8]:
        return read(self.picture)


class TextItem(NamedTuple):
    """A text."""

    text: str

    @property
    def key(self) -> str:
        return hashlib.sha256(self.text.encode("utf-8", "backslashreplace")).hexdigest()

    def load(self, read: FrameReader) -> str:
        return self.text


class PairItem(NamedTuple):
    """A frame with its text."""

    picture: Picture
    text: str

    @property
    def key(self) -> str:
        return f"{self.picture.key}:{TextItem(self.text).key}"

    def load(self, read: FrameReader) -> tuple[NDArray[np.uint8], str]:
        return read(self.picture), self.text


class Clip(NamedTuple):
    """Frames of a clip, read when they are asked for; ``fps`` is None for a folder of frames."""

    frame: Callable[[int], NDArray[np.uint8]]
    length: int
    fps: float | None


class ClipItem(NamedTuple):
    """The frames of a story, in order."""

    pictures: tuple[Picture, ...]
    fps: float | None

    @property
    def key(self) -> str:
        parts = "\n".join([str(self.fps), *(picture.key for picture in self.pictures)])
        return hashlib.sha256(parts.encode()).hexdigest()

    def load(self, read: FrameReader) -> Clip:
        return Clip(lambda number: read(self.pictures[number]), len(self.pictures), self.fps)
