"""One engine as the driver keeps it: its process, what it says of itself, and since when it has been quiet."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from ..request import StoryRequest
from .engines import EngineProcess
from .leases import EngineDied
from .limits import Limits
from .recipe import Description
from .records import Record, request_record
from .wire import pack, unpack


class Member:
    """Engine ``number`` of the fleet. It is absent between two processes; ``crashes`` of its processes in a row have
    ended without a frame. Times are those of the driver's clock, in seconds."""

    def __init__(self, number: int, limits: Limits) -> None:
        self.number, self.limits = number, limits
        self.process: EngineProcess | None = None
        self.answer: Future[bytes] | None = None
        self.description: Description | None = None
        self.crashes = 0
        self.start_at = 0.0
        self.left_out = False
        self._reset()

    def _reset(self) -> None:
        self.process = self.answer = self.description = None
        self._written = False
        self._frames = 0
        self._asked = self._moved = 0.0
        self._first_answer: float | None = None
        self._progress: Any = None
        self._has_stories = False

    @property
    def ready(self) -> bool:
        """Is its engine loaded?"""
        return self.description is not None

    def begin(self, process: EngineProcess) -> None:
        """A process was started."""
        self._reset()
        self.process = process

    def send(self, stories: list[StoryRequest], cancel: list[str], held: int, wait_s: float, now: float) -> None:
        """Ask for the next event; ``held`` is the number of stories that the engine has, ``stories`` included."""
        assert self.process is not None, "it has a process"
        assert self.answer is None, "one exchange at a time"
        orders = {"stories": [request_record(story) for story in stories], "cancel": cancel}
        self.answer = self.process.exchange(pack({**orders, "written": self._written, "wait_s": wait_s}))
        if stories or self._written or not self._has_stories:
            self._moved = now  # until here it had reason to wait
        self._asked, self._written, self._has_stories = now, False, held > 0

    def receive(self, now: float) -> Record | None:
        """The event of its answer, if there is one. ``EngineDied`` if it has ended, ``ValueError`` or ``OSError`` if it
        cannot be loaded for a reason that is its user's."""
        assert self.answer is not None, "it has answered"
        answer, self.answer = unpack(self.answer.result()), None
        if self._first_answer is None:
            self._first_answer = now
        if (progress := answer["progress"]) != self._progress:
            self._progress, self._moved = progress, now
        if answer["error"] is not None:
            raise EngineFailed(answer["error"]["message"], answer["error"]["type"], answer["error"]["mistake"])
        if not self.ready and answer["description"] is not None:
            self.description = Description(**answer["description"])
            self._moved = now
        event: Record | None = answer["event"]
        if event is not None:
            self._written = True
            self._frames += event["event"] == "FrameDone"
        return event

    def overdue(self, now: float) -> str:
        """Why the process is to be ended: it says nothing, or does nothing; empty while all is well."""
        limits = self.limits
        if self._first_answer is None or self.answer is None:
            return ""  # it waits for a place, or for the driver
        if not self.ready:
            return f"it was not loaded after {limits.start_s:g} s" if now - self._first_answer > limits.start_s else ""
        if now - self._asked > limits.silent_s + limits.answer_s:
            return f"it answered nothing for {limits.silent_s:g} s"
        if self._has_stories and now - self._moved > limits.stall_s:
            return f"no launch of it ended for {limits.stall_s:g} s"
        return ""

    def lose(self, now: float) -> float:
        """End the process, which hangs if it still owes an answer; returns the seconds until it may start again."""
        assert self.process is not None, "it has a process"
        self.process.end(hangs=self.answer is not None and not self.answer.done())
        self.crashes = 0 if self._frames else self.crashes + 1
        pause = self.limits.pause(self.crashes)
        self.start_at = now + pause
        self.left_out = self.left_out or self.crashes >= self.limits.starts
        self._reset()
        return pause


class EngineFailed(EngineDied):
    """The failure that an engine reported before it ended; ``mistake``: loading it again would not help."""

    def __init__(self, message: str, kind: str, mistake: bool) -> None:
        super().__init__(message if mistake else f"{kind}: {message}")
        self.mistake = mistake
