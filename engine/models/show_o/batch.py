"""Show-o's stories side by side in one session, each at a frame of its own, and its other kind of draw.

What a frame sees (``session.py``) is laid side by side with the ends aligned, so that a column holds captions or
frames; a story with fewer segments, or with some in its cache already, has nothing in front, which feeds nothing:

    story 0   caption 0, frame 0, caption 1, frame 1, caption 2      its cache holds the first three: two are fed
    story 1                       caption 0, frame 0, caption 1      it was interrupted and holds none: all are fed

In the layouts "independent" and "carry-over" a frame sees its own caption only, and one column is fed.

MaskGIT's schedule is one for all rows of a pass. So where stories in the middle of their draws come together, those
that have run fewer steps run the missing ones first, by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...options import DEFAULT_LAYOUT, StoryOptions
from ...sampling import make_sampling_params
from .. import running_batch
from ..running_batch import Member
from .maskgit import MaskGitState, join
from .runner import ShowORunner
from .session import ShowOSession, open_session, slots_before


@dataclass
class SequenceState(running_batch.SequenceState):
    """A story between launches. Its cache, which only "block-causal" in context "full" keeps, holds everything before
    its last frame: ``2 * len(images) - 1`` segments."""

    @property
    def held(self) -> int:
        """Segments in the cache, between frames."""
        return 0 if self.cache is None else 2 * len(self.images) - 1


class RunningBatch(running_batch.RunningBatch):
    """The stories of a session, one row a branch each, from a frame's first launch to its last step."""

    session: ShowOSession

    def __init__(self, arm: ShowORunner, sequences: Sequence[SequenceState], options: StoryOptions) -> None:
        """A session with room for the longest of them, which takes what their caches hold. ``options`` are resolved."""
        super().__init__(sequences)
        self.options, self.params = options, make_sampling_params(options)
        self.session = session_for(arm, sequences, options)
        self.frame: MaskGitState | None = None
        for place, sequence in enumerate(sequences):
            if sequence.cache is not None:
                self.session.cache.paste(sequence.cache, self.rows_of([place]))

    def rows_of(self, places: Sequence[int]) -> list[int]:
        """The cache's rows of these stories, in all branches."""
        return [first + place for first in range(0, self.session.rows, self.session.stories) for place in places]

    def begin(self, sentences: Sequence[str]) -> None:
        """One sentence a story enters, with what the caches lack of frames and captions before it."""
        held = [sequence.held for sequence in self.sequences]
        for sequence, sentence in zip(self.sequences, sentences, strict=True):
            sequence.texts.append(sequence.encode(sentence))
        shown = [self.shown(sequence) for sequence in self.sequences]
        for back in range(max(map(len, shown)), 0, -1):
            at = [len(segments) - back for segments in shown]
            column = [
                segments[place] if place >= have else None
                for segments, place, have in zip(shown, at, held, strict=True)
            ]  # a negative place is before any that is held
            if any(segment is not None for segment in column):
                self._feed(column, [place == 0 for place in at])
        for sequence in self.sequences:
            sequence.drop_cache()

    def shown(self, sequence: SequenceState) -> list[list[int] | Tensor]:
        """Segments that the next frame of a story sees: captions as text ids and frames as codes, its own caption
        last."""
        if self.session.layout != "block-causal":
            return [sequence.texts[-1]]
        first = max(0, len(sequence.images) - 1) if self.session.context == "window" else 0
        pairs = zip(sequence.texts[first:], sequence.images[first:], strict=False)
        return [*(segment for pair in pairs for segment in pair), sequence.texts[-1]]

    def start(self, keys: Tensor) -> None:
        """Codes of the frames that are known before the first step."""
        nothing = torch.full((self.session.config.num_vq_tokens,), -1, device=keys.device)
        last = torch.stack([one.images[-1] if one.images else nothing for one in self.sequences])
        self.frame = MaskGitState.begin(self.session.known(self.params, keys, last), keys)

    def advance(self, max_passes: int | None = None) -> list[bool]:
        """Run up to ``max_passes`` steps (None: all that are left) -> for each story, whether its codes are final."""
        assert self.frame is not None, "start() comes before advance()"
        steps = self.session.steps
        self.advance_to(steps if max_passes is None else min(steps, self.frame.step + max_passes))
        return [self.frame.step == steps] * len(self.sequences)

    def advance_to(self, step: int) -> None:
        """Run the steps before number ``step`` that were not run."""
        assert self.frame is not None, "start() comes before a step"
        session, params = self.session, self.params
        run = session.arm.draw_pass(session.steps, params.temperature, params.guidance_scale)
        self.frame.advance(run, session.cache, step)

    def drawn(self, place: int) -> Tensor:
        """The codes [n] of a story whose draw is over."""
        assert self.frame is not None, "start() comes before pop()"
        return self.frame.drawn[place].clamp(0, self.session.config.codebook_size - 1)

    def hand_over(self, place: int, was_drawn: bool) -> None:
        """The frame itself has not entered the cache, drawn or given."""
        session, sequence = self.session, self.sequences[place]
        if session.layout == "block-causal" and session.context == "full" and len(sequence.images) < sequence.frames:
            sequence.cache = session.cache.view(self.rows(place))

    def write_cache(self) -> None:
        """Nothing: a frame, replaced or not, enters with the sentence after it. The stories keep their caches."""
        self.session.close()

    def part(self, arm: ShowORunner, places: Sequence[int]) -> RunningBatch:
        """A copy of these stories in the middle of their draws."""
        assert self.frame is not None, "a story that is not being drawn"
        made = RunningBatch(arm, [self.sequences[place] for place in places], self.options)
        copied = self.session.cache.fork(self.rows_of(places))
        made.session.cache.paste(copied, range(made.session.rows))
        copied.release()
        made.frame = self.frame.part(places)
        return made

    def merged(self, arm: ShowORunner, members: Sequence[Member]) -> tuple[RunningBatch, list[int]]:
        """Stories in the middle of their draws in a new batch, and their places there."""
        chosen: dict[RunningBatch, list[int]] = {}
        for batch, place in members:
            chosen.setdefault(batch, []).append(place)
        made = together(arm, [batch.part(arm, places) for batch, places in chosen.items()], self.options)
        order = [(batch, place) for batch, places in chosen.items() for place in places]
        return made, [order.index(member) for member in members]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that the session, the frame and the stories hold."""
        yield from super().tensors()
        if self.frame is not None:
            yield from self.frame.tensors()

    def _feed(self, column: Sequence[list[int] | Tensor | None], first: Sequence[bool]) -> None:
        """A segment of each story, or nothing; ``first`` where it begins the row. The null branch has empty captions
        and the same frames."""
        session, there = self.session, [segment is not None for segment in column]
        frames = [segment for segment in column if isinstance(segment, Tensor)]
        if frames:
            blank = torch.zeros_like(frames[0])
            codes = [segment if isinstance(segment, Tensor) else blank for segment in column]
            session.feed_image(torch.stack(codes), there)
            return
        texts: list[Sequence[int] | None] = [None if isinstance(segment, Tensor) else segment for segment in column]
        for _ in range(1, session.branches):
            texts += [() if yes else None for yes in there]
        begins = [yes and at for yes, at in zip(there, first, strict=True)]
        session.feed_text(texts, begins * session.branches)


def session_for(arm: ShowORunner, sequences: Sequence[SequenceState], options: StoryOptions) -> ShowOSession:
    """A session with room for each of them, none of which needs more positions than by itself."""
    layout, context = options.show_o.layout or DEFAULT_LAYOUT, options.sampling.context or "full"

    def size(sequence: SequenceState) -> int:
        return slots_before(arm.config, layout, context, sequence.frames, sequence.text_tokens)

    longest = max(sequences, key=size)
    return open_session(arm, len(sequences), longest.frames, options, longest.text_tokens)


def together(arm: ShowORunner, parts: Sequence[RunningBatch], options: StoryOptions) -> RunningBatch:
    """The stories of several batches in one, all as far as those that have run the most steps."""
    frames = [part.frame for part in parts if part.frame is not None]
    assert len(frames) == len(parts), "a story that is not being drawn"
    step = max(frame.step for frame in frames)
    for part in parts:
        part.advance_to(step)
    if len(parts) == 1:
        return parts[0]
    made = RunningBatch(arm, [sequence for part in parts for sequence in part.sequences], options)
    made.frame = join(frames)
    first = 0
    for part in parts:
        made.session.cache.paste(part.session.cache, made.rows_of(range(first, first + len(part.sequences))))
        first += len(part.sequences)
        part.session.close()
    return made
