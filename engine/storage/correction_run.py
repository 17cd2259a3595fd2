"""The folder of a run of ``acdc correct``: pictures, and ``correct.json``, which lists what is finished.

Every file is written under another name and renamed; a picture counts once it is listed. A clip's frames are listed as
they come, so that an interrupted one goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..utils.field_types import check_types
from .picture_run import PictureRun, numbered, read_list, refuse_existing
from .resume_story import check_settings
from .run_lock import RunLock

RUN_FILE = "correct.json"


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
class CorrectionRun(PictureRun):
    """A run of ``acdc correct``."""

    start: Mapping[str, float]
    pictures: list[Entry] = field(default_factory=list)

    def save(self, directory: Path) -> None:
        """Replace the folder's list."""
        self.write(directory / RUN_FILE)

    def check_pictures(self, new: Sequence[Entry]) -> None:
        """``ValueError`` names the first difference in what was asked; needs no weights, so it comes early."""
        stored, asked = ([entry.asked for entry in entries] for entries in (self.pictures, new))
        check_settings(numbered("picture", stored), numbered("picture", asked))


def read_run(directory: Path) -> CorrectionRun | None:
    """The run in ``directory``, None if there is none; ``ValueError`` for a damaged list."""
    return read_list(directory / RUN_FILE, _parse)


def run_lock(directory: Path) -> RunLock:
    """Alone with the folder's list."""
    return RunLock(directory / RUN_FILE, directory / ".lock")


def earlier_run(directory: Path, names: Sequence[str], *, resume: bool, overwrite: bool) -> CorrectionRun | None:
    """The run to continue, None for a new one; ``ValueError`` where files ``names`` or a list would be lost."""
    if resume and (stored := read_run(directory)) is not None:
        return stored
    if not overwrite:
        refuse_existing(directory / name for name in (RUN_FILE, *names))
    return None


def _parse(raw: dict[str, Any]) -> CorrectionRun:
    run = CorrectionRun(**raw)
    dict(run.start)
    run.pictures = [Entry(**entry) for entry in run.pictures]  # type: ignore[arg-type]
    for entry in run.pictures:
        check_types(entry)
    return run
