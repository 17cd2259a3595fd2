"""Show-o as the loops see it: which sequence and batch serve stories."""

from __future__ import annotations

from collections.abc import Sequence

from ...options import DEFAULT_LAYOUT, LAYOUT_OPTIONS, LOWEST_TEMPERATURE, StoryOptions
from ..interfaces import AutoregressiveModel
from .batch import RunningBatch, SequenceState
from .runner import ShowORunner
from .session import ShowOSession, open_session


class ShowOArm(ShowORunner, AutoregressiveModel):
    """An autoregressive model of the Show-o family."""

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this kind of drawing does not have."""
        if options.sampling.top_k or options.sampling.top_p not in (None, 1.0):
            values = f"top_k {options.sampling.top_k}, top_p {options.sampling.top_p}"
            raise ValueError(f"{values}: Show-o draws from all codes; choose top_k 0 and top_p 1")
        if (decoding := options.sampling.decoding) != "auto":
            raise ValueError(f"decoding {decoding!r} is for ARMs that draw code after code; choose auto")
        if options.sampling.temperature == 0:  # the published sampler would only rank confidences without noise
            advice = f"choose {LOWEST_TEMPERATURE} or more (1 as published)"
            raise ValueError(f"temperature 0 is greedy, and Show-o always draws its codes from their shares; {advice}")
        layout = options.show_o.layout or DEFAULT_LAYOUT
        flat = options.flat()
        for name, home in LAYOUT_OPTIONS.items():
            if (value := flat[name]) is not None and layout != home:
                advice = f"leave it out or choose layout {home}"
                raise ValueError(f"{name} {value!r} would do nothing in layout {layout!r}; {advice}")

    def session(self, stories: int, frames: int, options: StoryOptions, text_tokens: int | None = None) -> ShowOSession:
        """Stories in lockstep as ``options`` (resolved) say; ``text_tokens`` bounds their sentences."""
        self.check(options)
        return open_session(self, stories, frames, options, text_tokens)

    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences."""
        return SequenceState(len(sentences), max(len(self.encode(sentence)) for sentence in sentences), self.encode)

    def new_batch(self, sequences: Sequence[SequenceState], options: StoryOptions) -> RunningBatch:
        """Stories side by side, each at a frame of its own."""
        return RunningBatch(self, sequences, options)
