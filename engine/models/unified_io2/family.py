"""Unified-IO 2 as the loops see it: which sequence and batch serve stories."""

from __future__ import annotations

from collections.abc import Sequence

from ...options import StoryOptions
from .batch import RunningBatch, SequenceState
from .runner import UnifiedIO2Runner


class UnifiedIO2Arm(UnifiedIO2Runner):
    """An autoregressive model of the Unified-IO 2 family."""

    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences; ``ValueError`` for one that is too long."""
        return SequenceState(len(sentences), max(len(self.encode(sentence)) for sentence in sentences), self.encode)

    def new_batch(self, sequences: Sequence[SequenceState], options: StoryOptions) -> RunningBatch:
        """Stories side by side, each at a frame of its own."""
        return RunningBatch(self, sequences, options)
