"""The things that an executor of a job other than a story works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...options import StoryOptions
from ..store.claims import Claims, Lost
from ..store.records import Job
from .persist import Persistence

if TYPE_CHECKING:
    from ...engine import Engine


class Desk:
    """Files go into ``folder`` first (by ``acdc.engine.utils.atomic``), then :meth:`event` says so."""

    def __init__(self, job: Job, folder: Path, claims: Claims, persist: Persistence, options: StoryOptions) -> None:
        """``options`` are the server's with the request's own."""
        self.job, self.folder, self._claims, self._persist = job, folder, claims, persist
        self.options = options
        self.lost = False  # set by the worker's main thread

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append an event. ``Lost`` where the job was cancelled, or is another worker's: let it pass."""
        self.check()
        self._persist(lambda: self._claims.add(self.job.id, kind, data))

    def seen(self, kind: str) -> list[Mapping[str, Any]]:
        """Data of the events of this kind that earlier attempts have left."""
        return self._persist(lambda: self._claims.seen(self.job.id, (kind,)))

    def check(self) -> None:
        """``Lost`` where there is no need to go on; call it between two steps of long work."""
        if self.lost:
            raise Lost(f"job {self.job.id!r} is not this worker's any more")

    def write(self, action: Callable[[], None]) -> None:
        """Write files: repeated while the disk is full. ``Lost`` as for :meth:`event`: nobody would remove them."""
        self.check()
        self._persist(action)


Executor = Callable[["Engine", Job, Desk], dict[str, Any]]
