"""Stories as metrics see them: frames on disk in order, each with its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Text = Literal["sentence", "refined"]
Resize = Literal["classic", "clean"]


@dataclass(frozen=True)
class Picture:
    """A frame: a still picture, or frame ``place`` (from 0) of an animation or a movie. ``digest`` is the file's
    SHA-256, ``size`` height and width in pixels."""

    path: Path
    digest: str
    size: tuple[int, int]
    place: int | None = None

    @property
    def key(self) -> str:
        """A name of the pixels: equal pictures share it, wherever they lie."""
        return self.digest if self.place is None else f"{self.digest}#{self.place}"


@dataclass(frozen=True)
class Story:
    """Frames that belong together. ``sentences`` and ``refined`` have one text a frame, or are empty; ``fps`` is known
    of clips; ``source`` says how frames are stored: "frames" (a folder's pictures), "animation" or "movie"."""

    name: str
    pictures: tuple[Picture, ...]
    sentences: tuple[str, ...] = ()
    refined: tuple[str, ...] = ()
    fps: float | None = None
    source: str = "frames"

    def texts(self, which: Text) -> tuple[str, ...]:
        """The texts that the story was drawn from, as asked for or as its memory rewrote them."""
        return self.refined if which == "refined" and self.refined else self.sentences


@dataclass(frozen=True)
class StorySet:
    """The stories of one folder; ``failures`` has a line for each story or file that cannot be read."""

    name: str
    stories: tuple[Story, ...]
    failures: tuple[str, ...] = field(default=())

    @property
    def pictures(self) -> list[Picture]:
        """All frames, story after story."""
        return [picture for story in self.stories for picture in story.pictures]
