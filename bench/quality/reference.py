"""The reference that distances are measured from: pictures of a folder, or statistics of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...engine.utils.streams import log
from .progress import Progress
from .row_cache import RowCache
from .sets.read_sets import read_sets
from .sets.story_set import StorySet
from .statistics_file import SUFFIX, Statistics, read_statistics


@dataclass(frozen=True)
class Reference:
    """``folder`` holds pictures; ``statistics`` are of a file. At most one of both is there."""

    folder: Path | None = None
    statistics: Statistics | None = None

    def read(self, cache: RowCache, progress: Progress, single: bool = False) -> StorySet | None:
        """The stories of the folder; stderr names those that cannot be read. ``single`` as in :func:`.read_sets`."""
        if self.folder is None:
            return None
        (stories,) = read_sets([self.folder], cache, progress, single=single)
        for line in stories.failures:
            log(f"acdc: left out of the reference: {line}")
        return stories


def find_reference(path: Path | None) -> Reference:
    """The reference at ``path``. ``ValueError`` (one line) for a file of statistics that is damaged or not there."""
    if path is not None and path.suffix == SUFFIX:
        return Reference(statistics=read_statistics(path))
    return Reference(folder=path)
