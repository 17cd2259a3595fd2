"""The folder of a run of ``acdc reference``: pictures, and ``reference.json``, which lists what is finished.

Every file is written under another name and renamed; a picture counts once it is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..utils.field_types import check_types
from .picture_run import PictureRun, numbered, read_list, refuse_existing
from .resume_story import check_settings
from .run_lock import RunLock

RUN_FILE = "reference.json"
PICTURES = "picture_[0-9]*.png"


@dataclass
class ReferencePicture:
    """One picture: its sentence, its file, and whether it is there."""

    prompt: str
    image: str
    finished: bool = False
    cut_prompt: str | None = None
    seconds: float = 0.0


@dataclass
class ReferenceRun(PictureRun):
    """A run of ``acdc reference``."""

    pictures: list[ReferencePicture] = field(default_factory=list)

    def save(self, directory: Path) -> None:
        """Replace the folder's list."""
        self.write(directory / RUN_FILE)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """``ValueError`` names the first difference in what was asked; needs no weights, so it comes early."""
        stored = [picture.prompt for picture in self.pictures]
        check_settings(numbered("sentence", stored), numbered("sentence", prompts))


def new_pictures(prompts: Sequence[str]) -> list[ReferencePicture]:
    """Pictures to come, numbered from 1."""
    return [ReferencePicture(prompt, f"picture_{number:05d}.png") for number, prompt in enumerate(prompts, 1)]


def read_run(directory: Path) -> ReferenceRun | None:
    """The run in ``directory``, None if there is none; ``ValueError`` for a damaged list."""
    return read_list(directory / RUN_FILE, _parse)


def run_lock(directory: Path) -> RunLock:
    """Alone with the folder's list."""
    return RunLock(directory / RUN_FILE, directory / ".lock")


def earlier_run(directory: Path, *, resume: bool, overwrite: bool) -> ReferenceRun | None:
    """The run to continue, None for a new one; ``ValueError`` where pictures or a list would be lost."""
    if resume and (stored := read_run(directory)) is not None:
        return stored
    if not overwrite:
        refuse_existing((directory / RUN_FILE, *sorted(directory.glob(PICTURES))))
    return None


def clear_pictures(directory: Path) -> None:
    """Remove an earlier run's pictures: a longer one's would stay among the new ones, and be counted with them."""
    (directory / RUN_FILE).unlink(missing_ok=True)
    for path in directory.glob(PICTURES):
        path.unlink()


def _parse(raw: dict[str, Any]) -> ReferenceRun:
    run = ReferenceRun(**raw)
    run.pictures = [ReferencePicture(**picture) for picture in run.pictures]  # type: ignore[arg-type]
    for picture in run.pictures:
        check_types(picture)
    return run
