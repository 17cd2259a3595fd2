"""Unified-IO 2 as the loops see it: which sequence and batch serve stories."""

from __future__ import annotations

from collections.abc import Sequence

from ...options import StoryOptions
from ..interfaces import AutoregressiveModel
from ..tokens_per_pass import SEQUENTIAL
from .batch import RunningBatch, SequenceState
from .runner import UnifiedIO2Runner


class UnifiedIO2Arm(UnifiedIO2Runner, AutoregressiveModel):
    """An autoregressive model of the Unified-IO 2 family."""

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this kind of drawing, code after code, does not have."""
        flat = options.flat()
        for name in ("arm_steps", "layout", "carry_over"):
            if (value := flat[name]) is not None:
                raise ValueError(f"{name} {value!r} is for Show-o; this ARM draws code after code: leave it out")

    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences; ``ValueError`` for one that is too long."""
        return SequenceState(len(sentences), max(len(self.encode(sentence)) for sentence in sentences), self.encode)

    def new_batch(self, sequences: Sequence[SequenceState], options: StoryOptions) -> RunningBatch:
        """Stories side by side, each at a frame of its own."""
        return RunningBatch(self, sequences, options)

    def computes_in_vain(self, options: StoryOptions, stories: int) -> bool:
        """True where a pass draws several codes: those after a wrong guess are thrown away."""
        return self.tokens_per_pass(options.sampling.decoding, stories) != SEQUENTIAL
