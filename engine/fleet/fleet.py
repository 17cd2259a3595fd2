"""A run over many stories by many engines. An engine may die and start again at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from threading import Lock
from types import TracebackType
from typing import Self

from ..options import StoryOptions
from ..request import StoryRequest
from ..scheduler.events import Event, FrameDone, PartialReady
from ..scheduler.story_feed import StoryFeed
from ..utils.streams import log
from ..utils.to_one_line import one_line
from .engines import Engines
from .leases import EngineDied, Leases
from .limits import Limits
from .member import EngineFailed, Member
from .recipe import Description
from .run import FleetRun

TURN_S = 0.5  # the longest wait for answers before the limits are checked again
IDLE_S = 0.05  # an idle engine's wait before it answers, where a story may arrive at any time


class NoEngineLeft(RuntimeError):
    """Every engine has ended, and starting them again does not help."""


class Fleet:
    """``count`` engines, which ``engines`` starts. Close it, or use it as a context manager.

    ``Fleet(...)`` starts them, ``description`` waits for the first, ``generate_many`` draws.
    """

    def __init__(
        self,
        engines: Engines,
        count: int,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        note: Callable[[str], None] = log,
    ) -> None:
        self._engines, self._clock, self._note = engines, clock, note
        self.limits = limits or Limits()
        self.members = [Member(number, self.limits) for number in range(count)]
        self._leases = Leases((), self.limits.deaths)
        self._described: Description | None = None
        self._cancelled: set[str] = set()
        self._last_failure = ""
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def description(self) -> Description:
        """The engines, as the first that is loaded describes itself; waits for it. Raises ``ValueError`` or ``OSError``
        where the user's choices cannot be loaded, ``NoEngineLeft`` where no engine comes up."""
        while self._described is None:
            for _ in self._turn():
                raise AssertionError("no story was given")
        return self._described

    def generate_many(
        self, stories: Iterable[StoryRequest] | StoryFeed, *, options: StoryOptions | None = None
    ) -> FleetRun:
        """Draw ``stories``, which are read when there is room; one run at a time. ``options`` are the recipe's."""
        if any(self._leases.held.values()) or self._leases.waiting:
            raise ValueError("a run of this fleet is not over; read it to its end before the next one")
        self._leases = Leases(stories, self.limits.deaths)
        return FleetRun(self._events, self.cancel, lambda: self.description, options or StoryOptions())

    def close(self) -> None:
        """End all engines; stories that they have keep the frames that were handed over."""
        for member in self.members:
            if member.process is not None:
                member.process.end()
                member.process = None
        self._engines.close()

    def cancel(self, name: str) -> None:
        """As ``Many.cancel``."""
        feed = self._leases.feed
        with self._lock:
            if feed is None or name in feed:  # the name of a story that has ended may come again
                self._cancelled.add(name)

    def _events(self) -> Generator[Event, None, None]:
        while not self._leases.over:
            yield from self._turn()

    def _turn(self) -> Iterator[Event]:
        """Start the engines that are absent, give out stories, and take what the first answers bring."""
        with self._lock:
            names = set(self._cancelled)
        for failed in self._leases.cancel(names):
            yield self._ended(failed)
        now = self._clock()
        if all(member.left_out for member in self.members):
            raise NoEngineLeft(f"no engine is left; {self._last_failure}")
        for member in self.members:
            if member.process is None and not member.left_out and now >= member.start_at:
                member.begin(self._engines.start(member.number))
            if member.process is not None and member.answer is None:
                self._send(member, names, now)
        asked = {member.answer: member for member in self.members if member.answer is not None}
        if not asked:  # all are absent; the wait for nothing would return at once
            time.sleep(self._timeout(now))
        answered, _ = wait(asked, self._timeout(now), FIRST_COMPLETED)
        now = self._clock()
        for answer in answered:
            yield from self._receive(asked[answer], now)
        for member in (asked[answer] for answer in asked.keys() - answered):
            if reason := member.overdue(now):
                yield from self._lose(member, EngineDied(reason), now)

    def _send(self, member: Member, cancelled: set[str], now: float) -> None:
        stories: list[StoryRequest] = []
        if member.description is not None:
            others = [other.number for other in self.members if other.ready and other is not member]
            stories = self._leases.give(member.number, member.description.stories, others)
        held = self._leases.held.get(member.number, {})
        idle = self._leases.feed is not None and not held
        wait_s = min(IDLE_S, self.limits.answer_s) if idle else self.limits.answer_s
        member.send(stories, [name for name in held if name in cancelled], len(held), wait_s, now)

    def _timeout(self, now: float) -> float:
        """Seconds until there is something to do besides waiting for answers."""
        starts = [one.start_at - now for one in self.members if one.process is None and not one.left_out]
        return max(0.0, min([TURN_S, *starts]))

    def _receive(self, member: Member, now: float) -> Iterator[Event]:
        try:
            record = member.receive(now)
            if member.description is not None:
                self._check(member, member.description)
            event = None if record is None else self._leases.take(member.number, record)
        except EngineFailed as failure:
            if failure.mistake and self._described is None:
                raise ValueError(str(failure)) from None
            yield from self._lose(member, failure, now)
        except EngineDied as death:
            yield from self._lose(member, death, now)
        except (KeyError, TypeError, ValueError) as error:
            yield from self._lose(member, EngineDied(f"its answer cannot be read ({error!r})"), now)
        else:
            if event is not None:
                yield self._ended(event)

    def _check(self, member: Member, description: Description) -> None:
        """An engine that would draw otherwise is left out: a story is drawn in one way, whichever engine it is on."""
        if self._described is None:
            self._described = description
        elif difference := self._described.difference(description):
            member.left_out = True
            raise EngineDied(f"it would draw in another way: {difference}")

    def _lose(self, member: Member, death: EngineDied, now: float) -> Iterator[Event]:
        self._last_failure = f"engine {member.number + 1}: {one_line(str(death))}"
        count = self._leases.count(member.number)
        pause = member.lose(now)
        failed = self._leases.give_back(member.number, death)
        what = f"; {count} stories go on from their last frames" if count else ""
        then = (
            "it is left out" if member.left_out else f"it starts again in {pause:g} s" if pause else "it starts again"
        )
        self._note(f"acdc: {self._last_failure}{what}; {then}")
        for failure in failed:
            yield self._ended(failure)

    def _ended(self, event: Event) -> Event:
        """Forget the cancellation of a story that ends with this event."""
        if not isinstance(event, FrameDone | PartialReady) or (isinstance(event, FrameDone) and event.last):
            with self._lock:
                self._cancelled.discard(event.request.id)
        return event
