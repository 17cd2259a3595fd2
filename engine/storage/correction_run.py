"""The folder of a run of ``acdc correct``: pictures, and ``correct.json``, which lists what is finished.

Every file is written under another name and renamed; a picture counts once it is listed. A clip's frames are listed as
they come, so that an interrupted one goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .picture_run import PictureRun


@dataclass
class Entry:
    """One picture or clip: its source, and how far it is. ``frames`` of a clip are on disk."""

    source: str
    sha256: str
    kind: str
    prompt: str
    image: str
    frames: int = 0
    finished: bool = False
    cut_prompt: str | None = None
    seconds: float = 0.0
    error: str | None = None

    @property
    def asked(self) -> str:
        """The request that a resumed run must repeat."""
        return f"{self.source} ({self.sha256[:16]}): {self.prompt}"


@dataclass
class CorrectionRun(PictureRun[Entry]):
    """A run of ``acdc correct``."""

    FILE: ClassVar[str] = "correct.json"
    PICTURE: ClassVar[type[Any]] = Entry

    start: Mapping[str, float] = field(kw_only=True)
