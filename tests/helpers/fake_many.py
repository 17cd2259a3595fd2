"""Many stories without networks: frames of ``fake_engine`` in turns, and failures where a test wants them."""

from collections.abc import Iterable, Iterator
from typing import Any

from acdc.engine.options import StoryOptions
from acdc.engine.outputs import Frame
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import AlreadyComplete, Event, FrameDone, StoryFailed
from acdc.engine.scheduler.policy import SchedulerConfig
from tests.helpers.fake_engine import FakeEngine
from tests.helpers.fake_frame import in_turns, next_frame


class FakeRun:
    """Stories in turns, as many at a time as asked for; like the real one it reads them when there is room."""

    def __init__(
        self, engine: "FakeMany", requests: Iterable[StoryRequest], options: StoryOptions, config: SchedulerConfig
    ):
        self.engine, self.requests, self.options, self.config = engine, iter(requests), options, config
        self.closed = False

    def events(self) -> Iterator[Event]:
        try:
            yield from in_turns(lambda: next(self.requests, None), self.config.stories, self._step)
        finally:
            self.closed = True

    def _step(self, request: StoryRequest, frames: list[Frame]) -> Event:
        index = len(frames)
        if index == len(request.sentences):
            return AlreadyComplete(request)
        if len(self.engine.made) == self.engine.stop_at:
            raise self.engine.stop
        if (request.id, index) in self.engine.failures:
            return StoryFailed(request, self.engine.failures[request.id, index])
        frame = next_frame(request, frames, self.options.corrects(index))
        self.engine.made.append((request.id, index))
        return FrameDone(request, frame, 10.0, 0.0)


class FakeMany(FakeEngine):
    """``failures`` are errors of (story, frame from 0); ``stop`` is raised before frame number ``stop_at`` of all."""

    def __init__(self, failures: dict[tuple[str, int], Exception] | None = None, **config: Any) -> None:
        super().__init__(**config)
        self.failures = failures or {}
        self.made: list[tuple[str, int]] = []
        self.run: FakeRun | None = None

    def generate_many(
        self, stories: Iterable[StoryRequest], *, options: StoryOptions, pipelining: SchedulerConfig
    ) -> FakeRun:
        self.run = FakeRun(self, stories, options, pipelining)
        return self.run
