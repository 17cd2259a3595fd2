"""Common part of runs that make pictures one after another: a folder and its list of what is finished, which is
``correct.json``, ``reference.json`` or ``acdit.json``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from ..utils.atomic import write_json
from ..utils.field_types import check_types
from .resume_story import changed_versions, check_settings
from .run_lock import RunLock


class Picture(Protocol):
    """An entry of the list."""

    image: str
    finished: bool

    @property
    def asked(self) -> str:
        """The request that a resumed run must repeat."""
        ...


P = TypeVar("P", bound=Picture)


@dataclass
class PictureRun(Generic[P]):
    """A folder's contents, or those to come; ``settings`` hold the seed, too."""

    FILE: ClassVar[str]
    PICTURE: ClassVar[type[Any]]
    MADE: ClassVar[str] = ""  # pattern of the names of its pictures, where they follow one
    REQUEST: ClassVar[str] = "picture"

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    pictures: list[P] = field(default_factory=list)

    @classmethod
    def lock(cls, directory: Path) -> RunLock:
        """Alone with the folder's list."""
        return RunLock(directory / cls.FILE, directory / ".lock")

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """The run in ``directory``, None if there is none; ``ValueError`` for a damaged list."""
        path = directory / cls.FILE
        if not path.exists():
            return None
        try:
            run = cls(**json.loads(path.read_text(encoding="utf-8")))
            run.pictures = [cls.PICTURE(**picture) for picture in run.pictures]  # type: ignore[arg-type]
            for picture in run.pictures:
                check_types(picture)
            for mapping in (one.name for one in fields(run) if one.name != "pictures"):
                dict(getattr(run, mapping))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{str(path)!r} is damaged ({reason}); choose --overwrite, or another --out") from None
        return run

    @classmethod
    def earlier(cls, directory: Path, names: Sequence[str] = (), *, resume: bool, overwrite: bool) -> Self | None:
        """The run to continue, None for a new one; ``ValueError`` where pictures, files ``names`` or a list would be
        lost."""
        if resume and (stored := cls.read(directory)) is not None:
            return stored
        for path in () if overwrite else (directory / cls.FILE, *cls._made(directory), *map(directory.joinpath, names)):
            if path.exists():
                raise ValueError(f"{str(path)!r} exists already; choose --resume, --overwrite or another --out")
        return None

    @classmethod
    def clear(cls, directory: Path) -> None:
        """Remove an earlier run's list and pictures, which would stay among the new ones, and be counted with them."""
        (directory / cls.FILE).unlink(missing_ok=True)
        for path in cls._made(directory):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    @classmethod
    def _made(cls, directory: Path) -> list[Path]:
        return sorted(directory.glob(cls.MADE)) if cls.MADE else []

    def save(self, directory: Path) -> None:
        """Replace the folder's list."""
        write_json(directory / self.FILE, asdict(self))

    def missing(self, directory: Path) -> list[int]:
        """The places in the list of the pictures that are not finished, or whose files have gone."""
        pictures = enumerate(self.pictures)
        return [place for place, one in pictures if not (one.finished and (directory / one.image).is_file())]

    def check_asked(self, asked: Sequence[str]) -> None:
        """``ValueError`` names the first difference in what was asked; needs no weights, so it comes early."""
        check_settings(self._numbered([picture.asked for picture in self.pictures]), self._numbered(asked))

    def continued(self, new: Self) -> str:
        """``ValueError`` names the first setting that differs in ``new``; else a remark on versions."""
        check_settings(self.settings, new.settings)
        return changed_versions(self.versions, new.versions)

    def _numbered(self, asked: Sequence[str]) -> dict[str, Any]:
        kind = self.REQUEST
        return {f"the number of {kind}s": len(asked), **{f"{kind} {n}": text for n, text in enumerate(asked, 1)}}
