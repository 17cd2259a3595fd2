"""The folder of a run of ``acdc reference``: pictures, and ``reference.json``, which lists what is finished.

Every file is written under another name and renamed; a picture counts once it is listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..utils.atomic import write_json
from ..utils.field_types import check_types
from .resume_story import changed_versions, check_settings
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
class ReferenceRun:
    """A folder's contents, or those to come; ``settings`` hold the seed, too."""

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    pictures: list[ReferencePicture] = field(default_factory=list)

    def save(self, directory: Path) -> None:
        """Replace the folder's list."""
        write_json(directory / RUN_FILE, asdict(self))

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """``ValueError`` names the first difference in what was asked; needs no weights, so it comes early."""
        check_settings(_asked([picture.prompt for picture in self.pictures]), _asked(prompts))

    def continued(self, new: ReferenceRun) -> str:
        """``ValueError`` names the first setting that differs in ``new``; else a remark on versions."""
        check_settings(self.settings, new.settings)
        return changed_versions(self.versions, new.versions)


def new_pictures(prompts: Sequence[str]) -> list[ReferencePicture]:
    """Pictures to come, numbered from 1."""
    return [ReferencePicture(prompt, f"picture_{number:05d}.png") for number, prompt in enumerate(prompts, 1)]


def read_run(directory: Path) -> ReferenceRun | None:
    """The run in ``directory``, None if there is none; ``ValueError`` for a damaged list."""
    path = directory / RUN_FILE
    if not path.exists():
        return None
    try:
        run = ReferenceRun(**json.loads(path.read_text(encoding="utf-8")))
        run.pictures = [ReferencePicture(**picture) for picture in run.pictures]  # type: ignore[arg-type]
        for picture in run.pictures:
            check_types(picture)
        dict(run.settings), dict(run.versions)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} is damaged ({reason}); choose --overwrite, or another --out") from None
    return run


def run_lock(directory: Path) -> RunLock:
    """Alone with the folder's list."""
    return RunLock(directory / RUN_FILE, directory / ".lock")


def earlier_run(directory: Path, *, resume: bool, overwrite: bool) -> ReferenceRun | None:
    """The run to continue, None for a new one; ``ValueError`` where pictures or a list would be lost."""
    if resume and (stored := read_run(directory)) is not None:
        return stored
    if not overwrite:
        for path in (directory / RUN_FILE, *sorted(directory.glob(PICTURES))):
            if path.exists():
                raise ValueError(f"{str(path)!r} exists already; choose --resume, --overwrite or another --out")
    return None


def clear_pictures(directory: Path) -> None:
    """Remove an earlier run's pictures: a longer one's would stay among the new ones, and be counted with them."""
    (directory / RUN_FILE).unlink(missing_ok=True)
    for path in directory.glob(PICTURES):
        path.unlink()


def _asked(prompts: Sequence[str]) -> dict[str, Any]:
    texts = {f"sentence {number}": prompt for number, prompt in enumerate(prompts, 1)}
    return {"the number of sentences": len(prompts), **texts}
