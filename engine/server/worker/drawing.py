"""The thread that draws: stories together, over one feed; a job of another kind alone, when the stories are over.
Another one, its recorder, writes the stories."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from ...request import StoryRequest
from ...scheduler.events import Event as EngineEvent
from ...scheduler.events import FrameDone, StoryFailed
from ...scheduler.story_feed import StoryFeed
from ..settings import Settings
from ..store.claims import Claims, Lost
from ..store.records import Job
from .desk import Desk, Executor
from .kinds import STORIES
from .loading import carried_frames, count_tokens, describe, scheduler_config
from .recorder import Recorder
from .story_work import StoryWork

if TYPE_CHECKING:
    from ...engine import Engine
    from ...scheduler.run import Many

WARM_UP = StoryRequest("warm-up", ("A fox sat in the snow.",))


class Drawing(Thread):
    """``ready`` is set when the engine is loaded; ``error`` says why the thread has ended, if it was not stopped."""

    def __init__(
        self,
        settings: Settings,
        claims: Claims,
        load: Callable[[Settings], Engine],
        executors: Mapping[str, Executor],
        wake: Event,
    ) -> None:
        super().__init__(name="drawing", daemon=True)
        self.settings, self.claims, self.load, self.executors, self.wake = settings, claims, load, executors, wake
        self.recorder = Recorder(claims, self._lose, wake)
        self.stories = self.recorder.stories
        self.ready, self.info = Event(), dict[str, Any]()
        self.error: BaseException | None = None
        self.alone: Desk | None = None  # a job of another kind, waiting for the stories or under way
        self.draining = False
        self.capacity = 1
        self._feed, self._progress = StoryFeed(), time.time()
        # Jobs that are not this worker's any more, until nothing of theirs is drawn or written.
        self._lost = set[str]()
        self._many: Many | None = None
        self._last_ran: list[Any] = []  # the launch that was the last one when somebody asked

    @property
    def busy(self) -> int:
        """Number of jobs that it has."""
        return len(self.stories) + (self.alone is not None)

    @property
    def progress(self) -> float:
        """When the engine last finished something, or had nothing to do."""
        ran = self._many.timeline[-1:] if self._many is not None and self.stories else []
        if (self._last_ran != ran) or not self.busy:
            self._last_ran, self._progress = ran, time.time()
        return max(self._progress, self.recorder.persist.since)

    def put(self, job: Job) -> None:
        """Begin a claimed job; from the main thread. One that cannot be begun fails."""
        if job.id in self._feed or job.id in self.stories:  # its last run is not quite over
            self.claims.release([job.id])
        elif job.kind in STORIES:
            self._put_story(job)
        elif job.kind in self.executors:
            self._put_alone(job)
        else:
            self.recorder.fail(job.id, ValueError(f"this worker knows no jobs of kind {job.kind!r}"))

    def drop(self, names: set[str]) -> None:
        """These jobs are not this worker's any more."""
        for name in names:
            self._lost.add(name)
            if self.stories.pop(name, None) is not None and self._many is not None:
                self._many.cancel(name)
            if self.alone is not None and self.alone.job.id == name:
                self.alone.lost = True

    def given_up(self) -> set[str]:
        """Lost jobs of which nothing is drawn or written any more; each once."""
        alone = "" if self.alone is None else self.alone.job.id
        under_way = alone, self.recorder.writing
        free = {name for name in list(self._lost) if name not in self._feed and name not in under_way}
        self._lost -= free
        return free

    def drain(self) -> None:
        """Finish the frames under way, and no more."""
        self.draining = True
        self._feed.close()

    def run(self) -> None:
        """Until it is drained, or fails."""
        self.recorder.start()
        try:
            try:
                self._draw()
            finally:
                self.recorder.close()
        except BaseException as error:
            self.error = error
        finally:
            self.wake.set()

    def _draw(self) -> None:
        engine = self.load(self.settings)
        config = scheduler_config(self.settings, engine)
        self.capacity, self.info = config.stories + config.waiting, describe(self.settings, engine)
        self._carried = partial(carried_frames, engine, self.settings.stories)
        self._count_tokens = partial(count_tokens, engine)
        self._many = engine.generate_many(self._feed, options=self.settings.story_options, pipelining=config)
        if self.settings.warm_up:
            self._feed.put(WARM_UP)
        else:
            self.ready.set()
        while True:
            with closing(self._many.events()) as events:
                for event in events:
                    self._take(event)
            if self.alone is None:
                return
            self._run_alone(engine, self.alone)
            self._feed = StoryFeed()
            self._many = engine.generate_many(self._feed, options=self.settings.story_options, pipelining=config)
            self.alone = None  # the main thread puts stories from here on
            if self.draining:
                return

    def _put_alone(self, job: Job) -> None:
        try:
            options = self.settings.story_options.replace(**job.body.get("options", {}))
        except ValueError as error:
            self.recorder.fail(job.id, error)
            return
        self.alone = Desk(job, self.settings.stories / job.id, self.claims, self.recorder.persist, options)
        self._feed.close()

    def _put_story(self, job: Job) -> None:
        assert self._many is not None
        try:
            persist = self.recorder.persist
            work = StoryWork(job, self.settings.stories, self.claims, persist, self._carried, self._count_tokens)
            request = work.request
            work.begin(self._many.begun(request))
            self.stories[job.id] = work
            self._feed.put(request)
        except Lost:
            self.stories.pop(job.id, None)
        except Exception as error:
            self.stories.pop(job.id, None)
            self.recorder.fail(job.id, error)

    def _warmed(self, event: EngineEvent) -> None:
        """Plans are built and their memory is there; an engine that cannot draw fails here."""
        if isinstance(event, StoryFailed):
            raise event.error
        self.ready.set()
        self.wake.set()

    def _take(self, event: EngineEvent) -> None:
        self._progress = time.time()
        if event.request is WARM_UP:
            self._warmed(event)
            return
        self.recorder.put(event)
        work = self.stories.get(event.request.id)
        if work is not None and work.job.attempt > 1:  # it may have ended a worker before its frames were on disk
            self.recorder.wait()
        if self.draining and isinstance(event, FrameDone) and not event.last and self._many is not None:
            self._many.cancel(event.request.id)

    def _lose(self, name: str) -> None:
        self._lost.add(name)
        if self._many is not None:
            self._many.cancel(name)

    def _run_alone(self, engine: Engine, desk: Desk) -> None:
        try:
            data = self.executors[desk.job.kind](engine, desk.job, desk)
            self.recorder.persist(lambda: self.claims.end(desk.job.id, data))
        except Lost:
            self._lost.add(desk.job.id)
        except Exception as error:
            self.recorder.fail(desk.job.id, error)
