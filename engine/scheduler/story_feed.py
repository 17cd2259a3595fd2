"""Requests that arrive while other stories are drawn: what a service gives to ``Engine.generate_many``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from threading import RLock

from ..request import StoryRequest


class StoryFeed:
    """An open queue of story requests. Any thread may call ``put`` and ``close``; one run at a time reads it.

    A run over a feed sleeps while there is nothing to draw, and ends when the feed is closed and its stories are over.
    Requests that no run has taken stay for the next run. ``len(feed)`` is their number, ``id in feed`` tells whether a
    story waits or is drawn.
    """

    def __init__(self) -> None:
        self._waiting: deque[StoryRequest] = deque()
        self._ids: set[str] = set()  # of stories that wait or are drawn
        self._closed = False
        self._wake: Callable[[], None] | None = None
        self._lock = RLock()  # re-entrant: a signal handler may close the feed while its thread is in here

    def put(self, request: StoryRequest) -> None:
        """Add a story. ``ValueError`` for what is not a request, for the id of a story that waits or is drawn, and
        after :meth:`close`. The id of a story that has ended may be used again."""
        if not isinstance(request, StoryRequest):
            raise ValueError(f"a feed takes StoryRequest and not {type(request).__name__}; name the story and its seed")
        with self._lock:
            if self._closed:
                raise ValueError(f"story {request.id!r} comes after the feed was closed; open another StoryFeed")
            if request.id in self._ids:
                raise ValueError(f"story id {request.id!r} waits or is drawn; give each story its own")
            self._ids.add(request.id)
            self._waiting.append(request)
            self._notify()

    def close(self) -> None:
        """No more stories; those that are here are drawn."""
        with self._lock:
            self._closed = True
            self._notify()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    @property
    def ended(self) -> bool:
        """Is the feed closed, with no request left to take?"""
        with self._lock:
            return self._closed and not self._waiting

    def attach(self, wake: Callable[[], None]) -> None:
        """For the run that reads it: call ``wake`` at every change. ``ValueError`` while another run does."""
        with self._lock:
            if self._wake is not None:
                raise ValueError("this feed is read by another run; give each run its own StoryFeed")
            self._wake = wake

    def detach(self) -> None:
        """The run is over; the stories that it did not finish are forgotten, and may be put again."""
        with self._lock:
            self._wake, self._ids = None, {request.id for request in self._waiting}

    def take(self) -> StoryRequest | None:
        """The request that has waited longest, or None."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def withdraw(self, names: Collection[str]) -> list[StoryRequest]:
        """Remove those of ``names`` that no run has taken, and return them."""
        with self._lock:
            withdrawn = [request for request in self._waiting if request.id in names]
            self._waiting = deque(request for request in self._waiting if request.id not in names)
            return withdrawn

    def release(self, name: str) -> None:
        """A story has ended."""
        with self._lock:
            self._ids.discard(name)

    def _notify(self) -> None:
        if self._wake is not None:
            self._wake()
