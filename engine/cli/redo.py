"""``acdc story --redo N``: frame N of a finished story is drawn again under other constraints, and all after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..constraints import Constraints
from ..options import FLAT_NAMES, StoryOptions, make_options
from ..outputs import StoryResult
from ..storage.resume_story import check_request
from ..storage.run_lock import RunLock, story_lock
from ..storage.story_reader import read_story
from ..utils.streams import log
from .inputs import output_directory


class Redo(NamedTuple):
    """The story in ``directory``, of which frame ``number`` (from 1) and those after it are to be made again."""

    directory: Path
    lock: RunLock
    stored: StoryResult
    number: int

    @property
    def options(self) -> StoryOptions:
        """The options that the story was drawn with."""
        settings = self.stored.settings
        return make_options(**{name: settings[name] for name in FLAT_NAMES if name in settings})

    def constraints(self, given: Constraints) -> Constraints:
        """``given``, with the frame as it is shown now below its mask: that is the picture which the user painted on.

        ``ValueError`` for a frame that stays, and where nothing would become different.
        """
        for number in sorted({*given.masks, *given.depths}):
            if number < self.number:
                raise ValueError(f"frame {number} has a mask or depth map, but --redo {self.number} keeps it")
        later = [n for n in self.stored.constraints if int(n) >= self.number]
        if not given and not later:
            advice = "give --mask FILE or --depth FILE"
            raise ValueError(f"--redo {self.number} would draw the same pictures again; {advice}")
        for name in later:
            if int(name) > self.number and given.of(int(name) - 1)[:2] == (None, None):
                log(f"acdc: frame {name} was constrained before, and no longer is; repeat its --mask or --depth")
        if given.of(self.number - 1).mask is None:
            return given
        return replace(given, canvases={self.number: self.stored.frames[self.number - 1].image})

    def kept(self, new: StoryResult) -> StoryResult:
        """``new``, without frames, with those that stay and with what constrained them."""
        frames, by_story = self.stored.frames[: self.number - 1], new.settings.get("memory_calls") == "story"
        if frames and by_story:  # the memory has rewritten the later sentences already
            later = tuple(self.stored.refined_prompts[self.number - 1 :])
            frames[-1] = replace(frames[-1], later_prompts=later + self.stored.frames[-1].later_prompts)
        old = {n: entry for n, entry in self.stored.constraints.items() if int(n) < self.number}
        fresh = {n: entry for n, entry in new.constraints.items() if int(n) >= self.number}
        return replace(new, frames=frames, constraints={**old, **fresh})


def open_redo(out: str | None, default: str, number: int, sentences: Sequence[str], seed: int) -> Redo:
    """The story in ``out``; ``ValueError`` where there is none, or not this frame, or one of other sentences (none:
    whichever they are) or of another seed (0: whichever it is)."""
    directory = output_directory(out, default)
    lock = story_lock(directory)
    stored = read_story(directory)
    if stored is None or not stored.frames:
        raise ValueError(f"--redo {number}: {str(directory)!r} holds no story; draw it first, or give its --out")
    if number > len(stored.frames):
        raise ValueError(f"--redo {number}: {str(directory)!r} holds frames 1 to {len(stored.frames)}")
    check_request(stored, sentences or stored.sentences, seed or stored.seed, stored.constraints)
    return Redo(directory, lock, stored, number)
