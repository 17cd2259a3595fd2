"""The folder that ``acdc story`` or ``acdc video`` writes, and the run that it continues."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..constraints import Constraints
from ..outputs import StoryResult
from ..storage.earlier import find_canvas
from ..storage.resume_story import changed_versions, check_settings, stored_story
from ..storage.run_lock import RunLock, story_lock
from ..storage.story_writer import StoryWriter
from ..utils.streams import log
from .inputs import check_earlier, output_directory

if TYPE_CHECKING:
    from ..engine import Engine


@dataclass(frozen=True)
class StoryFolder:
    """``stored`` is the earlier run's story to continue (None: a new one begins); write only while ``lock`` is held."""

    directory: Path
    lock: RunLock
    stored: StoryResult | None

    def with_canvases(self, given: Constraints) -> Constraints:
        """``given`` with the pictures that an interrupted ``--redo`` was to correct in place of drafts."""
        if self.stored is None:
            return given
        wanted = {int(n): entry["canvas"] for n, entry in self.stored.constraints.items() if "canvas" in entry}
        missing = {number: digest for number, digest in wanted.items() if number > len(self.stored.frames)}
        found = {number: find_canvas(self.directory, number, digest) for number, digest in missing.items()}
        return replace(given, canvases=found) if found else given

    def continued(self, new: StoryResult, engine: Engine) -> StoryResult:
        """``stored`` if ``new``, without frames, would be made in the same way; ``new`` where nothing is stored.

        ``ValueError`` names the first setting that differs; other versions of libraries are a remark.
        """
        if self.stored is None:
            return new
        check_settings(self.stored.settings, new.settings, lambda: engine.bundle.old_fingerprint())
        if remark := changed_versions(self.stored.versions, new.versions):
            log(f"acdc: {remark}")
        return self.stored


def open_story_folder(out: str | None, default: str, *, resume: bool, overwrite: bool) -> StoryFolder:
    """``out``, or else ``default``; ``ValueError`` if it cannot be used, or if an earlier story would be lost."""
    check_earlier(resume, overwrite)
    directory = output_directory(out, default)
    lock = story_lock(directory)
    return StoryFolder(directory, lock, stored_story(directory, resume=resume, overwrite=overwrite))


def frames_so_far(result: StoryResult, total: int, writer: StoryWriter) -> str:
    """Frames that are on disk, and how to continue."""
    if writer.earlier:
        return f"no frame; the story in {writer.directory} is as it was"
    hint = f"continue {writer.directory} with --resume" if result.frames else "nothing was written"
    return f"{len(result.frames)} of {total} frames; {hint}"
