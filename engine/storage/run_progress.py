"""Says on stderr how far many stories are: a bar in a terminal, else one line a story."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from ..utils.streams import animates, log
from .manifest import Failed, Finished
from .progress import NoBar, WithBar, make_bar


class RunProgress:
    """Counts, and what follows from them. ``stories`` in all, of which ``done`` were there before; ``frames`` are to be
    made."""

    def __init__(self, stories: int, done: int, frames: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.stories, self.done, self.frames, self.clock = stories, done, frames, clock
        self.finished = self.failed = self.made = 0
        self.began = clock()

    @property
    def rate(self) -> float:
        """Frames a second since the beginning."""
        seconds = self.clock() - self.began
        return self.made / seconds if seconds > 0 else 0.0

    @property
    def left(self) -> str:
        """Time left at that rate, as "0:03:20 left"; unknown before the first frame."""
        if not self.made:
            return "? left"
        return f"{timedelta(seconds=round(max(0, self.frames - self.made) / self.rate))} left"

    @property
    def place(self) -> str:
        """Stories that ended, of all: "3/8"."""
        return f"{self.done + self.finished + self.failed}/{self.stories}"

    @property
    def speed(self) -> str:
        """Both, as one text."""
        return f"{self.rate:.2f} frames/s, {self.left}"


class ManyProgress(Protocol):
    """Listens to stories being drawn."""

    tally: RunProgress

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def frame(self) -> None:
        """A frame is on disk."""
        ...

    def story(self, story: Finished) -> None:
        """A story is on disk, and in the manifest."""
        ...

    def failure(self, story: Failed, missing: int) -> None:
        """A story is over; ``missing`` frames of it are not going to come."""
        ...

    def note(self, text: str) -> None:
        """Something to be known."""
        ...


class Lines(NoBar):
    """One line a story, for logs and pipes."""

    def __init__(self, tally: RunProgress) -> None:
        self.tally = tally

    def frame(self) -> None:
        self.tally.made += 1

    def story(self, story: Finished) -> None:
        self.tally.finished += 1
        made = f"{story.frames} frames in {story.seconds:.2f} s"
        self._say(f"story {story.id} ({self.tally.place}): {made}; {self.tally.speed}")

    def failure(self, story: Failed, missing: int) -> None:
        self.tally.failed += 1
        self.tally.frames -= missing
        self.note(f"story {story.id!r} failed: {story.error}")

    def note(self, text: str) -> None:
        self._say(f"acdc: {text}")

    def _say(self, line: str) -> None:
        log(line)


class Bar(WithBar, Lines):
    """A bar over all frames; messages appear above it."""

    def __init__(self, tally: RunProgress) -> None:
        super().__init__(tally)
        self._bar = make_bar("{task.fields[speed]}")
        self._task = self._bar.add_task("loading", total=tally.frames, speed="")

    def frame(self) -> None:
        super().frame()
        self._show()

    def story(self, story: Finished) -> None:
        self.tally.finished += 1
        self._show()

    def _say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._show()

    def _show(self) -> None:
        tally = self.tally
        place = f"story {tally.place}"
        self._bar.update(self._task, description=place, completed=tally.made, total=tally.frames, speed=tally.speed)


def make_many_progress(tally: RunProgress) -> ManyProgress:
    """A bar where stderr is a terminal, lines elsewhere."""
    return Bar(tally) if animates() else Lines(tally)
