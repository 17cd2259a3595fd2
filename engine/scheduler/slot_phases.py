"""The phases of ``pipeline/phases.py`` on one slot with its own plans: what a launch of the concurrent loop does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..models.model_set import Models
from ..options import StoryOptions
from ..outputs import Phase
from ..pipeline.phases import Phases
from ..runtime.export_lock import EXPORT_LOCK
from .policy import SchedulerConfig
from .story_state import StoryState
from .stream_safety import record_stream_uses


class SlotPhases(Phases):
    """A slot's models, and what they do to stories."""

    def __init__(self, models: Models, options: StoryOptions, config: SchedulerConfig) -> None:
        """``options`` are resolved. ``ValueError`` if they cannot be met."""
        super().__init__(models, options)
        self.config = config
        self.run_phase: dict[Phase, Callable[[Sequence[StoryState]], Sequence[StoryState] | None]] = {
            Phase.PREFILL: lambda stories: self.prefill(self.batch_of(stories), stories),
            Phase.SAMPLE: lambda stories: self.sample(stories, config.max_passes_per_launch),
            Phase.VQ_DECODE: self.vq_decode,
            Phase.SDEDIT: self.sdedit,
            Phase.VQ_ENCODE: self._encode,
            Phase.UPDATE_CONTEXT: self.update_context,
        }

    @torch.inference_mode()
    def run(self, phase: Phase, stories: Sequence[StoryState]) -> list[StoryState]:
        """A launch; returns the stories that the phase is not done with (a draw ran all passes of its launch)."""
        record_stream_uses(stories)
        with EXPORT_LOCK.launch():
            return list(self.run_phase[phase](stories) or ())

    def _encode(self, stories: Sequence[StoryState]) -> None:
        """With what the replacement costs nothing to do now; the codes enter with the next sentence, unless a phase of
        its own follows."""
        self.vq_encode(stories)
        self.update_context(stories, at_once=False)
