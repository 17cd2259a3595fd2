"""Stories that come together for a launch of Show-o, and part again: as in ``seats.py``, with its other kind of draw.

What a frame sees (``show_o_session.py``) is laid side by side with the ends aligned, so that a column holds captions or
frames; who has fewer segments, or has them in its cache already, has nothing in front, which feeds nothing:

    story 0   caption 0, frame 0, caption 1, frame 1, caption 2      its cache holds the first three: two are fed
    story 1                       caption 0, frame 0, caption 1      it was interrupted and holds none: all are fed

In the layouts "independent" and "carry-over" a frame sees its own caption only, and one column is fed.

MaskGIT's schedule is one for all rows of a pass. So where stories in the middle of their draws come together, those
that have run fewer steps run the missing ones first, by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...options import StoryOptions
from ...sampling import SamplingParams
from ..lwm import batch as seats
from ..lwm.batch import SharedSession
from .maskgit import MaskGitState, join
from .runner import ShowORunner
from .session import ShowOSession, open_session, slots_before


@dataclass
class SequenceState(seats.SequenceState):
    """A story between launches. Its cache, which only "block-causal" in context "full" keeps, holds everything before
    its last frame: ``2 * len(images) - 1`` segments."""

    def replace(self, codes: Tensor) -> None:
        """Corrected codes [n] take the place of the last frame's, which has not entered the cache."""
        self.images[-1] = codes

    @property
    def held(self) -> int:
        """Segments in the cache, between frames."""
        return 0 if self.cache is None else 2 * len(self.images) - 1


class RunningBatch(SharedSession):
    """The stories of a session, one row a branch each, from a frame's first launch to its last step."""

    session: ShowOSession

    def __init__(self, arm: ShowORunner, members: Sequence[SequenceState], options: StoryOptions) -> None:
        """A session with room for the longest of them, which takes what their caches hold."""
        super().__init__(len(members))
        self.options, self.seats = options, list(members)
        self.session = session_for(arm, members, options)
        self.frame: MaskGitState | None = None
        self.params: SamplingParams | None = None
        for place, seat in enumerate(members):
            if seat.cache is not None:
                self.session.cache.paste(seat.cache, self.rows([place]))

    def rows(self, places: Sequence[int]) -> list[int]:
        """The cache's rows of these stories, in all branches."""
        return [first + place for first in range(0, self.session.rows, self.session.stories) for place in places]

    def begin(self, sentences: Sequence[str]) -> None:
        """One sentence a story enters, with what the caches lack of frames and captions before it."""
        held = [seat.held for seat in self.seats]
        for seat, sentence in zip(self.seats, sentences, strict=True):
            seat.texts.append(seat.encode(sentence))
        shown = [self.shown(seat) for seat in self.seats]
        for back in range(max(map(len, shown)), 0, -1):
            at = [len(segments) - back for segments in shown]
            column = [
                segments[place] if place >= have else None
                for segments, place, have in zip(shown, at, held, strict=True)
            ]  # a negative place is before any that is held
            if any(segment is not None for segment in column):
                self._feed(column, [place == 0 for place in at])
        for seat in self.seats:
            seat.drop_cache()

    def shown(self, seat: SequenceState) -> list[list[int] | Tensor]:
        """What the next frame of a story sees: captions as text ids and frames as codes, its own caption last."""
        if self.session.layout != "block-causal":
            return [seat.texts[-1]]
        first = max(0, len(seat.images) - 1) if self.session.context == "window" else 0
        pairs = zip(seat.texts[first:], seat.images[first:], strict=False)
        return [*(segment for pair in pairs for segment in pair), seat.texts[-1]]

    def start(self, params: SamplingParams, keys: Tensor, window: int) -> None:
        """What is known of the frames before the first step. ``window`` is for ARMs that draw code after code."""
        nothing = torch.full((self.session.config.num_vq_tokens,), -1, device=keys.device)
        last = torch.stack([seat.images[-1] if seat.images else nothing for seat in self.seats])
        self.params, self.frame = params, MaskGitState.begin(self.session.known(params, keys, last), keys)

    def advance(self, windows: Sequence[int], passes: int | None, sync_every: int) -> list[bool]:
        """Run up to ``passes`` steps (None: all that are left) -> for each story, whether its codes are final."""
        assert self.frame is not None, "start() comes before advance()"
        steps = self.session.steps
        self.advance_to(steps if passes is None else min(steps, self.frame.step + passes))
        return [self.frame.step == steps] * len(self.seats)

    def advance_to(self, step: int) -> None:
        """Run the steps before number ``step`` that were not run."""
        assert self.frame is not None, "start() comes before a step"
        assert self.params is not None, "start() sets it"
        session, params = self.session, self.params
        run = session.arm.draw_pass(session.steps, params.temperature, params.guidance_scale)
        self.frame.advance(run, session.cache, step)

    def pop(self, place: int) -> Tensor:
        """A story whose frame is drawn takes its codes [n], and its rows of a cache that grows, to its seat."""
        assert self.frame is not None, "start() comes before leave()"
        session, seat = self.session, self.seats[place]
        codes = self.frame.drawn[place].clamp(0, session.config.codebook_size - 1)
        seat.images.append(codes)
        if session.layout == "block-causal" and session.context == "full" and len(seat.images) < seat.frames:
            seat.cache = session.cache.view(slice(place, None, session.stories))
        self.release()
        return codes

    def write_cache(self) -> None:
        """Nothing: a frame, replaced or not, enters with the sentence after it."""
        self.session.close()

    def part(self, arm: ShowORunner, places: Sequence[int]) -> RunningBatch:
        """A copy of these stories in the middle of their draws."""
        assert self.frame is not None, "a story that is not being drawn"
        made = RunningBatch(arm, [self.seats[place] for place in places], self.options)
        copied = self.session.cache.fork(self.rows(places))
        made.session.cache.paste(copied, range(made.session.rows))
        copied.release()
        made.params, made.frame = self.params, self.frame.part(places)
        return made

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


def session_for(arm: ShowORunner, members: Sequence[SequenceState], options: StoryOptions) -> ShowOSession:
    """A session with room for each of them, none of which needs more positions than by itself."""
    layout, context = options.layout or "independent", options.context or "full"

    def size(seat: SequenceState) -> int:
        return slots_before(arm.config, layout, context, seat.frames, seat.text_tokens)

    longest = max(members, key=size)
    return open_session(arm, len(members), longest.frames, options, longest.text_tokens)


def merge_batches(
    arm: ShowORunner, members: Sequence[tuple[RunningBatch, int]], options: StoryOptions
) -> tuple[RunningBatch, list[int]]:
    """Stories in the middle of their draws, from any groups, in one, and their places there.

    If they are all that is left of a group, that is the one. What stays in other groups is not changed.
    """
    group, places = members[0][0], [place for _, place in members]
    if group.is_whole_batch(members):
        group.session.arm = arm
        return group, places
    chosen: dict[RunningBatch, list[int]] = {}
    for other, place in members:
        chosen.setdefault(other, []).append(place)
    parts = [other.part(arm, places) for other, places in chosen.items()]
    made = together(arm, parts, options)
    for other, _ in members:  # only now: had it failed, they would still be there
        other.release()
    order = [(other, place) for other, places in chosen.items() for place in places]
    return made, [order.index(member) for member in members]


def together(arm: ShowORunner, parts: Sequence[RunningBatch], options: StoryOptions) -> RunningBatch:
    """The stories of several groups in one, all as far as those that have run the most steps."""
    frames = [part.frame for part in parts if part.frame is not None]
    assert len(frames) == len(parts), "a story that is not being drawn"
    step = max(frame.step for frame in frames)
    for part in parts:
        part.advance_to(step)
    if len(parts) == 1:
        return parts[0]
    made = RunningBatch(arm, [seat for part in parts for seat in part.seats], options)
    made.params, made.frame = parts[0].params, join(frames)
    first = 0
    for part in parts:
        made.session.cache.paste(part.session.cache, made.rows(range(first, first + len(part.seats))))
        first += len(part.seats)
        part.session.close()
    return made
