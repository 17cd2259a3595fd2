"""Which engine has which story, and what becomes of the stories of an engine that dies. Decisions alone: no clock, no
processes.

A story waits, or one engine has it. The frames that an engine hands over are added to the story's lease; the next
engine begins after them. A crash may be the fault of any story that was there, so that each counts a death against it
until it brings another frame. Before the last death that it may have, a story is drawn alone: none fails for
another's fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from ..outputs import Frame
from ..request import StoryRequest
from ..scheduler.events import AlreadyComplete, Cancelled, Event, FrameDone, PartialReady, StoryFailed
from ..scheduler.story_feed import StoryFeed
from ..storage.story_writer import end_ms, shifted
from .records import Record, parse_event


class EngineDied(RuntimeError):
    """An engine's process has ended, or was ended. ``preempted``: its machine was taken away, which
    counts against none of its stories."""

    def __init__(self, reason: str, preempted: bool = False) -> None:
        super().__init__(reason)
        self.preempted = preempted


@dataclass(eq=False)
class Lease:
    """A story and the frames that are there; times of the next ones follow ``offset_ms``."""

    request: StoryRequest
    frames: list[Frame] = field(default_factory=list)
    deaths: int = 0
    died_on: int | None = None
    offset_ms: float = 0.0
    partials: set[tuple[int, int]] = field(default_factory=set)

    @property
    def remaining(self) -> StoryRequest:
        """The request with all frames that are there."""
        return replace(self.request, done=(*self.request.done, *self.frames))


class Leases:
    """Stories from ``requests``, which are read when an engine has room for one; ``deaths`` as in ``Limits``."""

    def __init__(self, requests: Iterable[StoryRequest] | StoryFeed, deaths: int) -> None:
        self.feed = requests if isinstance(requests, StoryFeed) else None
        self._requests: Iterator[StoryRequest] = iter(()) if isinstance(requests, StoryFeed) else iter(requests)
        self._deaths, self._seen = deaths, set[str]()
        self._exhausted = False
        self._broken: Exception | None = None
        self.waiting: deque[Lease] = deque()
        self.held: dict[int, dict[str, Lease]] = {}

    @property
    def over(self) -> bool:
        """Has every story ended? Raises what the iterator of requests raised, once the stories before it are done."""
        if self.waiting or any(self.held.values()):
            return False
        if not (self._exhausted or (self.feed is not None and self.feed.ended)):
            return False
        if self._broken is not None:
            raise self._broken
        return True

    def count(self, engine: int) -> int:
        """The number of stories that an engine has."""
        return len(self.held.get(engine, ()))

    def give(self, engine: int, most: int, others: Collection[int] = ()) -> list[StoryRequest]:
        """Stories for ``engine`` until it has ``most``: those that an engine gave back first, not to the one that died
        with them where there are ``others``; those that are to be drawn alone when it has none."""
        held = self.held.setdefault(engine, {})
        if any(self._alone(lease) for lease in held.values()):
            return []
        given = [] if held else [lease for lease in self.waiting if self._alone(lease)][:1]
        if not given:
            able = [
                lease for lease in self.waiting if not self._alone(lease) and (lease.died_on != engine or not others)
            ]
            given = able[: most - len(held)]
            given += [Lease(request) for request in self._fresh(most - len(held) - len(given))]
        for lease in given:
            if lease in self.waiting:
                self.waiting.remove(lease)
            held[lease.request.id] = lease
        return [lease.remaining for lease in given]

    def take(self, engine: int, record: Record) -> Event | None:
        """The event that an engine hands over; None for one about a story that it no longer has, and for a picture that
        was there before. ``EngineDied`` for a frame out of order."""
        held = self.held.get(engine, {})
        lease = held.get(record["id"])
        if lease is None:
            return None
        event = parse_event(record, lease.request)
        match event:
            case FrameDone(_, frame, _, _):
                expected = len(lease.request.done) + len(lease.frames)
                if frame.index != expected:
                    raise EngineDied(f"it sent frame {frame.index} of story {lease.request.id!r}, not {expected}")
                event = replace(event, frame=shifted(frame, lease.offset_ms))
                lease.frames.append(event.frame)
                lease.deaths = 0
                lease.partials.clear()
            case PartialReady(_, partial):
                if (key := (partial.index, partial.number)) in lease.partials:
                    return None
                lease.partials.add(key)
        if isinstance(event, StoryFailed | AlreadyComplete) or (isinstance(event, FrameDone) and event.last):
            del held[lease.request.id]
            self._forget(lease)
        return event

    def give_back(self, engine: int, death: EngineDied) -> list[StoryFailed]:
        """An engine is gone: its stories wait again, in their order, but for those that have failed by it."""
        leases, failed = list(self.held.pop(engine, {}).values()), []
        for lease in reversed(leases):
            lease.offset_ms = end_ms(lease.frames)
            if not death.preempted:
                lease.deaths, lease.died_on = lease.deaths + 1, engine
            if lease.deaths >= self._deaths:
                reason = f"its engine died {lease.deaths} times at frame {len(lease.remaining.done) + 1}, the last time"
                failed.append(StoryFailed(lease.request, EngineDied(f"{reason} with this story alone: {death}")))
                self._forget(lease)
            else:
                self.waiting.appendleft(lease)
        return failed

    def cancel(self, names: Collection[str]) -> list[StoryFailed]:
        """End those of ``names`` that no engine has."""
        if not names:  # the usual case: the queues are left as they are
            return []
        cancelled = [lease.request for lease in self.waiting if lease.request.id in names]
        self.waiting = deque(lease for lease in self.waiting if lease.request.id not in names)
        if self.feed is not None:
            for request in cancelled:
                self.feed.release(request.id)
            for request in self.feed.withdraw(names):
                self.feed.release(request.id)
                cancelled.append(request)
        return [StoryFailed(request, Cancelled.story(request.id)) for request in cancelled]

    def _alone(self, lease: Lease) -> bool:
        return 0 < lease.deaths == self._deaths - 1

    def _fresh(self, most: int) -> Iterator[StoryRequest]:
        for _ in range(most):
            try:
                request = next(self._requests, None) if self.feed is None else self.feed.take()
                if request is not None and self.feed is None:
                    self._check_name(request.id)
            except Exception as error:
                self._exhausted, self._broken = True, error
                return
            if request is None:
                self._exhausted = self.feed is None
                return
            yield request

    def _check_name(self, name: str) -> None:
        if name in self._seen:
            raise ValueError(f"story id {name!r} is given twice; give each story its own")
        self._seen.add(name)

    def _forget(self, lease: Lease) -> None:
        if self.feed is not None:
            self.feed.release(lease.request.id)
