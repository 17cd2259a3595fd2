"""The phases of ``pipeline/phases.py`` on one slot with its own plans: what a launch of the concurrent loop does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import torch

from ..models.model_set import Models
from ..options import StoryOptions
from ..outputs import Phase
from ..pipeline.frame_state import FrameState
from ..pipeline.phases import Phases
from ..runtime.export_lock import EXPORT_LOCK
from .policy import SchedulerConfig
from .story_state import StoryState
from .stream_safety import record_stream_uses

KEPT_OPTIONS = 16  # sets of options whose tables are kept; more while more stories are here, each with its own


class SlotPhases(Phases):
    """A slot's models, and what they do to stories."""

    def __init__(self, models: Models, options: StoryOptions, config: SchedulerConfig) -> None:
        """``options`` are resolved. ``ValueError`` if they cannot be met."""
        super().__init__(models, options)
        self.config = config
        self._others: dict[StoryOptions, Phases] = {}
        self._lock = Lock()  # a story is checked on the loop's thread and drawn on the slot's
        self.run_phase: dict[Phase, Callable[[Sequence[StoryState]], Sequence[StoryState] | None]] = {
            Phase.PREFILL: self._prefill,
            Phase.SAMPLE: lambda stories: self.sample(stories, config.max_passes_per_launch),
            Phase.VQ_DECODE: self.vq_decode,
            Phase.SDEDIT: lambda stories: self.of(stories[0]).sdedit(stories),
            Phase.VQ_ENCODE: self._encode,
            Phase.UPDATE_CONTEXT: lambda stories: self.of(stories[0]).update_context(stories),
        }

    def of(self, story: FrameState) -> Phases:
        """The phases with a story's options, which those of its launch share as far as it reads them."""
        return self if story.options is None else self.with_options(story.options)

    def with_options(self, options: StoryOptions) -> Phases:
        """The phases with other options, which are resolved; ``ValueError`` if they cannot be met."""
        with self._lock:
            found = self._others.pop(options, None) or Phases(self.models, options)
            found.on_partial = self.on_partial
            self._others[options] = found  # the last used comes last
            if len(self._others) > max(KEPT_OPTIONS, self.config.stories + self.config.waiting):
                del self._others[next(iter(self._others))]
            return found

    @torch.inference_mode()
    def run(self, phase: Phase, stories: Sequence[StoryState]) -> list[StoryState]:
        """A launch; returns the stories that the phase is not done with (a draw ran all passes of its launch)."""
        record_stream_uses(stories)
        with EXPORT_LOCK.launch():
            return list(self.run_phase[phase](stories) or ())

    def _prefill(self, stories: Sequence[StoryState]) -> None:
        phases = self.of(stories[0])
        phases.prefill(phases.batch_of(stories), stories)

    def _encode(self, stories: Sequence[StoryState]) -> None:
        """With what the replacement costs nothing to do now; the codes enter with the next sentence, unless a phase of
        its own follows."""
        self.vq_encode(stories)
        self.update_context(stories, at_once=False)
