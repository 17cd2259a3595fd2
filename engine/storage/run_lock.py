"""Two runs must not write into one place: each would call its own what the other drew."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from .manifest import IN_USE
from .story_reader import STORY_FILE


class RunLock:
    """Alone with ``target`` (a story's record, a file of stories) while this is entered; ``lock`` is a file in the same
    folder; one that a kill leaves there does no harm.

    Made before ``target`` is read, so that what another run writes until this one is alone is noticed. A file system
    without locks is trusted to have one user.
    """

    def __init__(self, target: Path, lock: Path) -> None:
        """``ValueError`` where another run holds the lock now."""
        self.target, self.path = target, lock
        self._lock = FileLock(lock, timeout=0)
        self._made: list[Path] = []  # folders that are there for the lock alone, the innermost first
        if lock.exists():
            self._acquire()
            self._release()
        self._seen = self._state()

    def __enter__(self) -> Self:
        folder = self.path.parent
        self._made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._acquire()
        if self._state() != self._seen:
            self._release()
            raise ValueError(f"{str(self.target)!r}: another run wrote it meanwhile; choose --resume or another --out")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
            while not self.path.exists():  # who held it removed it between our opening and our locking it
                self._lock.release()
                self._lock.acquire()
        except Timeout:
            raise ValueError(f"{str(self.target)!r}: {IN_USE}") from None
        except NotImplementedError:
            pass

    def _release(self) -> None:
        with suppress(OSError):
            self.path.unlink()
        self._lock.release()
        with suppress(OSError):  # a run that wrote nothing leaves nothing
            for folder in self._made:
                folder.rmdir()

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self.target.stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino


def story_lock(directory: Path) -> RunLock:
    """For the story or video in ``directory``."""
    return RunLock(directory / STORY_FILE, directory / ".lock")


def file_lock(path: Path) -> RunLock:
    """For the file ``path``."""
    return RunLock(path, path.with_name(f".{path.name}.lock"))
