"""A story in flight: the story itself, its place in the schedule, and when what happened to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..memory import Memory
from ..models.interfaces import SequenceState
from ..outputs import Phase, Span
from ..pipeline.story import Story
from ..request import StoryRequest
from .scheduler import ScheduledStory


def no_phases(index: int) -> Sequence[Phase]:
    """For a story that no scheduler runs: none."""
    return ()


@dataclass(eq=False, kw_only=True)
class StoryState(Story, ScheduledStory):
    """A story in flight, with times in seconds of ``time.perf_counter``. What a launch shares among stories is the
    launch's."""

    calls: dict[int, Span] = field(default_factory=dict)  # when the rewrites were made
    story_start: float | None = None  # the first thing that ran for the story: its spans count from there
    frame_start: float | None = None  # the last frame was shown, or the story came in flight
    stall_start: float | None = None  # since when it waits for its prompt
    stall_s: float = 0.0  # how long it waited for the prompt of this frame
    partials_shown: set[int] = field(default_factory=set)  # of this frame: it may be begun again
    prompt_error: Exception | None = None  # why the next prompt will not come
    error: Exception | None = None  # why the story is to end

    @classmethod
    def of(
        cls,
        request: StoryRequest,
        memory: Memory,
        sequence: SequenceState,
        phases_of: Callable[[int], Sequence[Phase]] = no_phases,
        index: int = 0,
        **state: Any,
    ) -> StoryState:
        """``request`` from frame ``index`` on; ``phases_of(index)`` are those of a frame; ``state``: other fields."""
        named = (request.id, len(request.sentences), phases_of)
        return cls(*named, index=index, request=request, memory=memory, sequence=sequence, **state)


def span(phase: Phase, start: float, end: float, origin: float) -> Span:
    """Seconds of one clock as a span since the story's beginning."""
    return Span(phase, (start - origin) * 1e3, (end - start) * 1e3)
