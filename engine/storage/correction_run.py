"""The folder of a run of ``acdc correct``: pictures, and ``correct.json``, which lists what is finished.

Every file is written under another name and renamed; a picture counts once it is listed. A clip's frames are listed as
they come, so that an interrupted one goes on where it was.
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
class CorrectionRun:
    """A folder's contents, or those to come; ``settings`` hold the seed, too."""

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    start: Mapping[str, float]
    pictures: list[Entry] = field(default_factory=list)

    def save(self, directory: Path) -> None:
        """Replace the folder's list."""
        write_json(directory / RUN_FILE, asdict(self))

    def check_pictures(self, new: Sequence[Entry]) -> None:
        """``ValueError`` names the first difference in what was asked; needs no weights, so it comes early."""
        check_settings(_asked(self.pictures), _asked(new))

    def continued(self, new: CorrectionRun) -> str:
        """``ValueError`` names the first setting that differs in ``new``; else a remark on versions."""
        check_settings(self.settings, new.settings)
        return changed_versions(self.versions, new.versions)


def read_run(directory: Path) -> CorrectionRun | None:
    """The run in ``directory``, None if there is none; ``ValueError`` for a damaged list."""
    path = directory / RUN_FILE
    if not path.exists():
        return None
    try:
        run = CorrectionRun(**json.loads(path.read_text(encoding="utf-8")))
        run.pictures = [Entry(**entry) for entry in run.pictures]  # type: ignore[arg-type]
        for entry in run.pictures:
            check_types(entry)
        dict(run.settings), dict(run.versions), dict(run.start)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} is damaged ({reason}); choose --overwrite, or another --out") from None
    return run


def run_lock(directory: Path) -> RunLock:
    """Alone with the folder's list."""
    return RunLock(directory / RUN_FILE, directory / ".lock")


def earlier_run(directory: Path, names: Sequence[str], *, resume: bool, overwrite: bool) -> CorrectionRun | None:
    """The run to continue, None for a new one; ``ValueError`` where files ``names`` or a list would be lost."""
    if resume and (stored := read_run(directory)) is not None:
        return stored
    if not overwrite:
        for path in (directory / name for name in (RUN_FILE, *names)):
            if path.exists():
                raise ValueError(f"{str(path)!r} exists already; choose --resume, --overwrite or another --out")
    return None


def _asked(pictures: Sequence[Entry]) -> dict[str, Any]:
    texts = {f"picture {number}": entry.asked for number, entry in enumerate(pictures, 1)}
    return {"the number of pictures": len(pictures), **texts}
