"""The thread that writes: files of a story and then their events, while the engine draws on."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Queue
from threading import Event, Thread
from typing import Any

from ...scheduler.events import AlreadyComplete, Cancelled, FrameDone, PartialReady, StoryFailed
from ...scheduler.events import Event as EngineEvent
from ...utils.to_one_line import one_line
from ..store.claims import Claims, Lost
from .persist import Persistence
from .story_work import StoryWork

LOG = logging.getLogger("acdc.serve.worker")
WAITING = 64  # events that may wait for the disk; more of them hold the engine up


class Recorder(Thread):
    """Takes the engine's events in their order. ``stories`` are those of this worker: events of others are dropped.
    ``error`` says why it writes no more. ``on_lost`` is called with the id of a job that is not this worker's any more,
    ``wake`` is set after each event."""

    def __init__(self, claims: Claims, on_lost: Callable[[str], None], wake: Event) -> None:
        super().__init__(name="recorder", daemon=True)
        self.claims, self.on_lost, self.wake = claims, on_lost, wake
        self.persist = Persistence()
        self.stories: dict[str, StoryWork] = {}
        self.writing = ""  # the job whose event is being written
        self.error: BaseException | None = None
        self._events = Queue[tuple[EngineEvent, float] | None](WAITING)

    def put(self, event: EngineEvent) -> None:
        """Write an event after those before it; raises what has ended the writing."""
        if self.error is not None:
            raise self.error
        self._events.put((event, time.time()))

    def wait(self) -> None:
        """Until the events so far are written."""
        self._events.join()

    def close(self) -> None:
        """Wait until all events are written; raises what has ended the writing."""
        self._events.put(None)
        self.join()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Until it is closed. After an error events are dropped: their frames are drawn again by the next worker."""
        while (item := self._events.get()) is not None:
            try:
                if self.error is None:
                    self._record(*item)
            except BaseException as error:
                self.error = error
            finally:
                self._events.task_done()
                self.wake.set()

    def fail(self, name: str, error: Exception) -> None:
        """End a job with its error; a store that cannot be written keeps it for the next attempt."""
        LOG.warning("a job has failed: %s", type(error).__name__)
        with suppress(Lost):
            self.persist(lambda: self.claims.fail(name, error_of(error)))

    def _record(self, event: EngineEvent, came: float) -> None:
        """``came``: when the engine had it, in seconds since 1970."""
        self.writing = event.request.id  # before the look: a job that is dropped after it waits for this
        work = self.stories.get(event.request.id)
        if work is not None and work.request is event.request:  # else dropped meanwhile; its id may have a new story
            try:
                self._write(work, event, came)
            except (Lost, FileNotFoundError) as error:
                self._leave(work, error)
        self.writing = ""

    def _leave(self, work: StoryWork, error: Exception) -> None:
        """The job is not this worker's any more, or somebody has removed its folder: no other job ends by that."""
        name = work.job.id
        self.stories.pop(name, None)
        self.on_lost(name)
        if not self.claims.exists(name):
            shutil.rmtree(work.folder, ignore_errors=True)
        elif isinstance(error, FileNotFoundError):  # clients are not to see its path
            self.fail(name, FileNotFoundError("the story's folder was removed while it was drawn"))

    def _write(self, work: StoryWork, event: EngineEvent, came: float) -> None:
        match event:
            case PartialReady():
                work.show(event.partial)
            case FrameDone():
                work.frame(event, came)
                if event.last:
                    self._finish(work)
            case AlreadyComplete():
                self._finish(work)
            case StoryFailed():
                self.stories.pop(work.job.id, None)
                if not isinstance(event.error, Cancelled):
                    self.fail(work.job.id, event.error)

    def _finish(self, work: StoryWork) -> None:
        self.stories.pop(work.job.id, None)
        try:
            work.finish()
        except Lost:
            self.on_lost(work.job.id)
        except Exception as error:
            self.fail(work.job.id, error)


def error_of(error: Exception) -> dict[str, Any]:
    """An error of the engine in OpenAI's shape."""
    mistake = isinstance(error, ValueError)
    message = one_line(str(error)) if mistake else one_line(f"{type(error).__name__}: {error}")
    kind, code = ("invalid_request_error", "invalid_value") if mistake else ("server_error", "engine_error")
    return {"message": message, "type": kind, "param": None, "code": code}
