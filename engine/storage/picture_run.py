"""Common part of the lists of runs that make pictures one after another (``correct.json``, ``reference.json``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..utils.atomic import write_json
from .resume_story import changed_versions, check_settings

R = TypeVar("R", bound="PictureRun")


@dataclass
class PictureRun:
    """A folder's contents, or those to come; ``settings`` hold the seed, too."""

    settings: Mapping[str, Any]
    versions: Mapping[str, str]

    def write(self, path: Path) -> None:
        """Replace the list."""
        write_json(path, asdict(self))

    def continued(self, new: PictureRun) -> str:
        """``ValueError`` names the first setting that differs in ``new``; else a remark on versions."""
        check_settings(self.settings, new.settings)
        return changed_versions(self.versions, new.versions)


def read_list(path: Path, parse: Callable[[dict[str, Any]], R]) -> R | None:
    """The run that ``parse`` makes of the list, None if there is none; ``ValueError`` for a damaged list."""
    if not path.exists():
        return None
    try:
        run = parse(json.loads(path.read_text(encoding="utf-8")))
        dict(run.settings), dict(run.versions)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} is damaged ({reason}); choose --overwrite, or another --out") from None
    return run


def refuse_existing(paths: Iterable[Path]) -> None:
    """``ValueError`` names the first of the files that would be lost."""
    for path in paths:
        if path.exists():
            raise ValueError(f"{str(path)!r} exists already; choose --resume, --overwrite or another --out")


def numbered(kind: str, texts: Sequence[str]) -> dict[str, Any]:
    """Name -> value of what a run was asked for, for `check_settings`: "the number of pictures", "picture 1", ..."""
    return {f"the number of {kind}s": len(texts), **{f"{kind} {n}": text for n, text in enumerate(texts, 1)}}
