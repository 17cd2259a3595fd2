"""An ARM that draws code after code, as the loops see it: which sequence and batch serve stories."""

from __future__ import annotations

from collections.abc import Sequence

from ...options import StoryOptions
from .batch import RunningBatch, SequenceState
from .runner import CausalRunner
from .session import ArmSession


class CausalArm(CausalRunner):
    """The common part of families with a causal stream."""

    def session(self, stories: int, frames: int, options: StoryOptions, text_tokens: int | None = None) -> ArmSession:
        """Stories in lockstep as ``options`` (resolved) say; ``text_tokens`` bounds their sentences."""
        guided = options.sampling.guidance_scale not in (None, 1.0)
        return ArmSession(self, stories, frames, options.sampling.context, guided, text_tokens)

    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences; ``ValueError`` for one that is too long."""
        encoded = [self.encode(sentence) for sentence in sentences]
        longest = max(len(ids) for text in encoded for ids in (text, self.null_text(text)))
        return SequenceState(len(sentences), longest, self.encode)

    def new_batch(self, sequences: Sequence[SequenceState], options: StoryOptions) -> RunningBatch:
        """Stories side by side, each at a frame of its own."""
        return RunningBatch(self, sequences, options)
