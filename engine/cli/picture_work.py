"""Common part of the commands that make pictures one after another: correct, reference and acdit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..storage.picture_progress import PictureProgress, make_picture_progress
from ..storage.picture_run import PictureRun
from ..utils.atomic import make_directory
from ..utils.streams import log

R = TypeVar("R", bound=PictureRun[Any])


def begin_or_continue(stored: R | None, new: R) -> R:
    """``stored`` where there is one; ``ValueError`` where its settings are not those of ``new``. Says on stderr which
    versions have changed."""
    if stored is None:
        return new
    if remark := stored.continued(new):
        log(f"acdc: {remark}")
    return stored


def work_through(run: PictureRun[Any], directory: Path, make: Callable[[list[int], PictureProgress], object]) -> str:
    """Let ``make`` make and list the pictures that are missing, whose places in the list it takes. Returns a summary;
    an interrupt says how to go on."""
    missing, count, begun = run.missing(directory), len(run.pictures), time.perf_counter()
    make_directory(directory)
    run.save(directory)
    try:
        with make_picture_progress(count, count - len(missing)) as progress:
            make(missing, progress)
    except KeyboardInterrupt:
        done = sum(picture.finished for picture in run.pictures)
        hint = f"continue {directory} with --resume"
        raise KeyboardInterrupt(f"interrupted after {done} of {count} pictures; {hint}") from None
    if not missing:
        return f"the {count} pictures are finished, nothing to resume"
    failed = len(run.missing(directory))
    return f"{len(missing) - failed} pictures in {time.perf_counter() - begun:.1f} s, {failed} failed"
