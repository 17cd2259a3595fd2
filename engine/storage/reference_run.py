"""The folder of a run of ``acdc reference``: pictures, and ``reference.json``, which lists what is finished.

Every file is written under another name and renamed; a picture counts once it is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .picture_run import PictureRun


@dataclass
class ReferencePicture:
    """One picture: its sentence, its file, and whether it is there."""

    prompt: str
    image: str
    finished: bool = False
    cut_prompt: str | None = None
    seconds: float = 0.0

    @property
    def asked(self) -> str:
        """The request that a resumed run must repeat."""
        return self.prompt


@dataclass
class ReferenceRun(PictureRun[ReferencePicture]):
    """A run of ``acdc reference``."""

    FILE: ClassVar[str] = "reference.json"
    PICTURE: ClassVar[type[Any]] = ReferencePicture
    MADE: ClassVar[str] = "picture_[0-9]*.png"
    REQUEST: ClassVar[str] = "sentence"


def new_pictures(prompts: Sequence[str]) -> list[ReferencePicture]:
    """Pictures to come, numbered from 1."""
    return [ReferencePicture(prompt, f"picture_{number:05d}.png") for number, prompt in enumerate(prompts, 1)]
