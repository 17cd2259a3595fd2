"""The thread that draws: stories together, over one feed; a job of another kind alone, when the stories are over."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from ...request import StoryRequest
from ...scheduler.events import AlreadyComplete, Cancelled, FrameDone, PartialReady, StoryFailed
from ...scheduler.events import Event as EngineEvent
from ...scheduler.story_feed import StoryFeed
from ...utils.to_one_line import one_line
from ..settings import Settings
from ..store.claims import Claims, Lost
from ..store.records import Job
from .desk import Desk, Executor
from .kinds import STORIES
from .loading import carried_frames, count_tokens, describe, scheduler_config
from .persist import Persistence
from .story_work import StoryWork

if TYPE_CHECKING:
    from ...engine import Engine
    from ...scheduler.run import Many

LOG = logging.getLogger("acdc.serve.worker")
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
        self.persist = Persistence()
        self.ready, self.info = Event(), dict[str, Any]()
        self.error: BaseException | None = None
        self.stories: dict[str, StoryWork] = {}
        self.alone: Desk | None = None  # a job of another kind, waiting for the stories or under way
        self.draining = False
        self.capacity = 1
        self._feed, self._progress = StoryFeed(), time.time()
        self._lost: set[str] = set()  # jobs that are not this worker's any more, until their last launch has ended
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
        return max(self._progress, self.persist.since)

    def put(self, job: Job) -> None:
        """Begin a claimed job; from the main thread. One that cannot be begun fails."""
        if job.id in self._feed or job.id in self.stories:  # its last run is not quite over
            self.claims.release([job.id])
        elif job.kind in STORIES:
            self._put_story(job)
        elif job.kind in self.executors:
            self._put_alone(job)
        else:
            self._fail(job.id, ValueError(f"this worker knows no jobs of kind {job.kind!r}"))

    def drop(self, names: set[str]) -> None:
        """These jobs are not this worker's any more."""
        for name in names:
            self._lost.add(name)
            if self.stories.pop(name, None) is not None and self._many is not None:
                self._many.cancel(name)
            if self.alone is not None and self.alone.job.id == name:
                self.alone.lost = True

    def given_up(self) -> set[str]:
        """Lost jobs of which nothing is under way any more; each once."""
        alone = None if self.alone is None else self.alone.job.id
        free = {name for name in list(self._lost) if name not in self._feed and name != alone}
        self._lost -= free
        return free

    def drain(self) -> None:
        """Finish the frames under way, and no more."""
        self.draining = True
        self._feed.close()

    def run(self) -> None:
        """Until it is drained, or fails."""
        try:
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
        except BaseException as error:
            self.error = error
        finally:
            self.wake.set()

    def _put_alone(self, job: Job) -> None:
        try:
            options = self.settings.story_options.replace(**job.body.get("options", {}))
        except ValueError as error:
            self._fail(job.id, error)
            return
        self.alone = Desk(job, self.settings.stories / job.id, self.claims, self.persist, options)
        self._feed.close()

    def _put_story(self, job: Job) -> None:
        assert self._many is not None
        try:
            work = StoryWork(job, self.settings.stories, self.claims, self.persist, self._carried, self._count_tokens)
            request = work.request
            work.begin(self._many.begun(request))
            self.stories[job.id] = work
            self._feed.put(request)
        except Lost:
            self.stories.pop(job.id, None)
        except Exception as error:
            self.stories.pop(job.id, None)
            self._fail(job.id, error)

    def _warmed(self, event: EngineEvent) -> None:
        """Plans are built and their memory is there; an engine that cannot draw fails here."""
        if isinstance(event, StoryFailed):
            raise event.error
        self.ready.set()
        self.wake.set()

    def _take(self, event: EngineEvent) -> None:
        """Write what has come before the engine is asked for more."""
        self._progress = time.time()
        if event.request is WARM_UP:
            self._warmed(event)
            return
        work = self.stories.get(event.request.id)
        if work is None or work.request is not event.request:  # dropped meanwhile; its id may have a new story
            return
        try:
            match event:
                case PartialReady():
                    work.show(event.partial)
                case FrameDone():
                    work.frame(event)
                    if event.last:
                        self._finish(work)
                    elif self.draining:
                        self._cancel(work)
                case AlreadyComplete():
                    self._finish(work)
                case StoryFailed():
                    self.stories.pop(work.job.id, None)
                    if not isinstance(event.error, Cancelled):
                        self._fail(work.job.id, event.error)
        except Lost:
            self._cancel(work)
            if not self.claims.exists(work.job.id):
                shutil.rmtree(work.folder, ignore_errors=True)
        self.wake.set()

    def _cancel(self, work: StoryWork) -> None:
        assert self._many is not None
        self._lost.add(work.job.id)
        self.stories.pop(work.job.id, None)
        self._many.cancel(work.job.id)

    def _finish(self, work: StoryWork) -> None:
        self.stories.pop(work.job.id, None)
        try:
            work.finish()
        except Lost:
            self._lost.add(work.job.id)
        except Exception as error:
            self._fail(work.job.id, error)

    def _run_alone(self, engine: Engine, desk: Desk) -> None:
        try:
            data = self.executors[desk.job.kind](engine, desk.job, desk)
            self.persist(lambda: self.claims.end(desk.job.id, data))
        except Lost:
            self._lost.add(desk.job.id)
        except Exception as error:
            self._fail(desk.job.id, error)

    def _fail(self, name: str, error: Exception) -> None:
        """End a job with its error; a store that cannot be written keeps it for the next attempt."""
        LOG.warning("a job has failed: %s", type(error).__name__)
        with suppress(Lost):
            self.persist(lambda: self.claims.fail(name, error_of(error)))


def error_of(error: Exception) -> dict[str, Any]:
    """An error of the engine in OpenAI's shape."""
    mistake = isinstance(error, ValueError)
    message = one_line(str(error)) if mistake else one_line(f"{type(error).__name__}: {error}")
    kind, code = ("invalid_request_error", "invalid_value") if mistake else ("server_error", "engine_error")
    return {"message": message, "type": kind, "param": None, "code": code}
