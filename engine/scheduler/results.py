"""Whole stories from the events of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..outputs import StoryResult
from ..request import StoryRequest
from .events import AlreadyComplete, Event, FrameDone, StoryFailed


def results_of(
    events: Iterable[Event], begun: Callable[[StoryRequest], StoryResult]
) -> Iterator[StoryResult | StoryFailed]:
    """Each story when it is finished, and each failure; ``begun`` gives one with the frames that it brought along."""
    results: dict[str, StoryResult] = {}
    for event in events:
        match event:
            case StoryFailed(request):
                results.pop(request.id, None)
                yield event
            case AlreadyComplete(request):
                yield begun(request)
            case FrameDone(request, frame):
                if request.id not in results:
                    results[request.id] = begun(request)
                results[request.id].frames.append(frame)
                if event.last:
                    yield results.pop(request.id)
