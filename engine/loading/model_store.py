"""Published checkpoints in a folder: ``--models DIR`` holds them under their names on the Hugging Face hub.

Three layouts are found, the first that is there, so that whatever downloaded them can be pointed at:

    DIR/showlab/show-o                              owner and name
    DIR/show-o                                      the name alone
    DIR/models--showlab--show-o/snapshots/<commit>  the hub's own cache (HF_HUB_CACHE)
"""

from __future__ import annotations

import re
from pathlib import Path

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def find_model(models: Path, repository: str) -> Path:
    """The directory of ``owner/name`` under ``models``. ``ValueError`` (one line) says where it was sought."""
    if not models.is_dir():
        raise ValueError(f"models folder {str(models)!r} is not a directory")
    owner, _, name = repository.partition("/")
    if not _REPOSITORY.fullmatch(repository) or {owner, name} & {".", ".."}:
        raise ValueError(f"{repository!r} is not a repository's name; give OWNER/NAME")
    cached = models / f"models--{owner}--{name}"
    for place in (models / owner / name, models / name, _current(cached)):
        if place is not None and _holds_files(place):
            return place
    sought = f"{owner}/{name}, {name} or {cached.name}"
    raise ValueError(f"no {repository} under {str(models)!r} (sought: {sought}); download it: hf download {repository}")


def _holds_files(place: Path) -> bool:
    """An owner's folder holds folders alone, and an interrupted download none."""
    return place.is_dir() and any(path.is_file() for path in place.iterdir() if not path.name.startswith("."))


def _current(cached: Path) -> Path | None:
    """The hub's cache keeps a directory a commit; ``refs/main`` names the one last asked for."""
    main = cached / "refs" / "main"
    if main.is_file():
        return cached / "snapshots" / main.read_text(encoding="utf-8").strip()
    return min((cached / "snapshots").glob("*"), default=None)
