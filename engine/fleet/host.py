"""One engine in a process of its own: a run over a feed, of which the driver asks for one event after another.

The driver calls ``exchange`` again and again. A call brings stories and says whether the last event is written; it
comes back with the next event, or without one after a while, so that the driver hears from the engine while a launch
takes long. The story of an event goes on when it is written and not before: a process that dies loses the frames under
way and no others.
"""

from __future__ import annotations

from contextlib import closing
from threading import Condition, Thread
from typing import Any

from ..scheduler.story_feed import StoryFeed
from .recipe import Recipe, Run
from .records import Record, error_record, event_record, parse_request
from .wire import pack, unpack

MISTAKES = (ValueError, OSError, ImportError)  # a user's: loading again would not help


class EngineHost:
    """Loads ``recipe`` on a thread of its own and draws; ``exchange`` is called from another, by the driver."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._feed = recipe, StoryFeed()
        self._changed = Condition()
        self._run: Run | None = None
        self._description: Record | None = None
        self._event: Record | None = None
        self._error: Record | None = None
        self._events = 0
        self._stopped = False
        Thread(target=self._work, name="acdc-engine", daemon=True).start()

    def exchange(self, message: bytes) -> bytes:
        """Take the driver's orders and answer.

        Orders are ``written`` (the event of the last answer is on disk), ``stories`` to draw, ids to ``cancel``, and
        ``wait_s``: how long to wait for an event. The answer holds ``description`` (None: not loaded yet), ``event``,
        ``error`` (the engine has come to its end) and ``progress``, which changes when a launch ends.
        """
        orders = unpack(message)
        with self._changed:
            if orders["written"]:
                self._event = None
                self._changed.notify_all()
            for request in map(parse_request, orders["stories"]):
                while request.id in self._feed:  # its last frame was just written, and the run is about to release it
                    self._changed.wait(0.001)
                self._feed.put(request)
            for name in orders["cancel"]:
                assert self._run is not None, "stories come to an engine that is loaded"
                self._run.cancel(name)
            loading = self._description is None
            self._changed.wait_for(lambda: self._news(loading), orders["wait_s"])
            progress = [self._events, self._launches()]
            answer = {"event": self._event, "error": self._error, "progress": progress}
            return pack({**answer, "description": self._description})

    def stop(self) -> None:
        """End the run between two frames: for a host that shares a process with others."""
        self._feed.close()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _news(self, loading: bool) -> bool:
        loaded = loading and self._description is not None
        return loaded or self._event is not None or self._error is not None

    def _launches(self) -> float:
        """When the last launch ended, in the run's own seconds."""
        timeline = [] if self._run is None else self._run.timeline
        return timeline[-1].end if timeline else 0.0

    def _work(self) -> None:
        try:
            engine = self._recipe()
            run = engine.run(self._feed)
            with self._changed:
                self._run, self._description = run, vars(engine.description)
                self._changed.notify_all()
            with closing(run.events()) as events:
                for event in events:
                    self._hand_over(event_record(event))
                    if self._stopped:
                        return
        except BaseException as error:
            self._fail({**error_record(error), "mistake": isinstance(error, MISTAKES)})

    def _hand_over(self, event: Record) -> None:
        with self._changed:
            self._event, self._events = event, self._events + 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._event is None or self._stopped)

    def _fail(self, error: dict[str, Any]) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()
