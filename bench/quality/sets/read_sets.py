"""Every file of several folders, read once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..progress import Progress
from ..row_cache import RowCache
from .listing import list_stories
from .story_set import StorySet
from .survey import survey


def read_sets(
    folders: Sequence[Path], cache: RowCache, progress: Progress, drafts: bool = False, single: bool = False
) -> list[StorySet]:
    """The stories of each folder, every file of which was read once. ``ValueError`` for a folder without any."""
    names = [str(folder) for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is given more than once")
    listed = [list_stories(folder, drafts, single) for folder in folders]
    total = sum(len(story.files) for listing in listed for story in listing.stories)
    with progress.task("reading files", total, 0) as done:
        sets = [survey(name, one, cache, lambda: done(1)) for name, one in zip(names, listed, strict=True)]
    cache.save()
    return sets
