"""Slots on which nothing runs: launches take the time that a cost model says, and the clock leaps to what is next.

In the place of ``executor.py``, for simulated runs. Launches that run at the same time slow each other down: of each
there are seconds left as if it were alone, and they pass 1 / slowdown as fast. Memory calls take their time whatever
else goes on. The loop's own time passes before it looks at what is done; the slots go on meanwhile.

    two launches of 1 s each, contention 2, the second one begun after .5 s

    0       .5                1.5       2
    |- 1st --|----- 1st -------|              half of it in .5 s, the other half in 1 s
             |----- 2nd -------|-- 2nd -|     half of it in 1 s, the other half alone in .5 s
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...engine.scheduler.policy import Unit
from .cost_model import CostModel


class Finished(NamedTuple):
    """Something is done; seconds since the beginning."""

    what: Any
    start: float
    end: float


@dataclass
class _Running:
    what: Any
    unit: Unit
    batch: int
    start: float
    left: float  # seconds, if it were alone from now on
    slowdown: float = 1.0


class VirtualTime:
    """One machine's slots and memory calls. ``now`` is the time of the loop, in seconds since the beginning."""

    def __init__(self, costs: CostModel) -> None:
        self.costs, self.now = costs, 0.0
        self._reached = 0.0  # how far the launches have come
        self._running: dict[int, _Running] = {}  # by slot
        self._calls: list[tuple[float, int, float, Any]] = []  # a heap: end, number, start, what
        self._numbered = 0
        self._done: deque[Finished] = deque()

    @property
    def pending(self) -> int:
        """Things under way, and done ones that nobody has asked for."""
        return len(self._running) + len(self._calls) + len(self._done)

    def submit(self, slot: int, what: Any, unit: Unit, batch: int, seconds: float) -> None:
        """Run a launch of ``batch`` stories on a free slot: ``seconds`` if nothing disturbs it."""
        assert slot not in self._running, f"slot {slot} is taken"
        self._running[slot] = _Running(what, unit, batch, self.now, seconds)
        self._disturb()

    def call(self, what: Any, seconds: float) -> None:
        """Wait for another job than the slots'."""
        self._numbered += 1
        heapq.heappush(self._calls, (self.now + seconds, self._numbered, self.now, what))

    def next(self) -> Finished:
        """The next one that is done, at which the loop has looked by ``now``. Something must be under way."""
        assert self.pending, "nothing is under way"
        if not self._done:
            self._advance(self._next_end())
        finished = self._done.popleft()
        self.now = max(self.now, finished.end) + self.costs.loop_s
        self._advance(self.now)
        return finished

    def _advance(self, until: float) -> None:
        """Let everything go on to that time."""
        while (end := self._next_end()) <= until:
            self._pass(end)
            if self._calls and self._calls[0][0] <= end:
                _, _, start, what = heapq.heappop(self._calls)
                self._done.append(Finished(what, start, end))
            else:
                slot = min(self._running, key=self._ends_in)
                launch = self._running.pop(slot)
                self._done.append(Finished(launch.what, launch.start, end))
                self._disturb()
        self._pass(until)

    def _next_end(self) -> float:
        ends = [self._reached + self._ends_in(slot) for slot in self._running]
        if self._calls:
            ends.append(self._calls[0][0])
        return min(ends, default=float("inf"))

    def _ends_in(self, slot: int) -> float:
        launch = self._running[slot]
        return launch.left * launch.slowdown

    def _pass(self, until: float) -> None:
        for launch in self._running.values():
            launch.left = max(0.0, launch.left - (until - self._reached) / launch.slowdown)
        self._reached = until

    def _disturb(self) -> None:
        for slot, launch in self._running.items():
            others = (other.unit for at, other in self._running.items() if at != slot)
            launch.slowdown = self.costs.slowdown(launch.unit, launch.batch, others)
