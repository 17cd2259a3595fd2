"""Says on stderr how far an evaluation is: a bar with the time left in a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Protocol

from ...engine.storage.progress import make_bar
from ...engine.utils.streams import animates, log

EVERY = 10.0  # seconds between lines
Done = Callable[[int], None]  # how many more items are done


class Progress(Protocol):
    """Listens to work of known length."""

    def task(self, name: str, total: int, done: int) -> AbstractContextManager[Done]:
        """``name`` begins, of whose ``total`` items ``done`` were there before."""
        ...


class Rate:
    """Counts items, and says how long the others take at this rate."""

    def __init__(self, total: int, done: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.total, self.done, self.clock = total, done, clock
        self._before, self.began = done, clock()

    @property
    def text(self) -> str:
        """Such as "120/1000, 0:03:20 left"."""
        seconds, made = self.clock() - self.began, self.done - self._before
        left = timedelta(seconds=round((self.total - self.done) * seconds / made)) if made else "?"
        return f"{self.done}/{self.total}, {left} left"


class Silent:
    """Says nothing, for programs."""

    @contextmanager
    def task(self, name: str, total: int, done: int) -> Iterator[Done]:
        yield lambda number: None


class Lines:
    """For logs and pipes."""

    @contextmanager
    def task(self, name: str, total: int, done: int) -> Iterator[Done]:
        rate = Rate(total, done)
        said = rate.began

        def count(number: int) -> None:
            nonlocal said
            rate.done += number
            if rate.done < total and rate.clock() - said >= EVERY:
                said = rate.clock()
                log(f"{name}: {rate.text}")

        yield count
        log(f"{name}: {rate.done}/{total} in {rate.clock() - rate.began:.1f} s")


class Bar:
    """A bar a task, gone when it is over."""

    @contextmanager
    def task(self, name: str, total: int, done: int) -> Iterator[Done]:
        bar, rate = make_bar("{task.fields[text]}"), Rate(total, done)
        shown = bar.add_task(name, total=total, completed=done, text="")

        def count(number: int) -> None:
            rate.done += number
            bar.update(shown, completed=rate.done, text=rate.text)

        with bar:
            yield count


def make_progress() -> Progress:
    """A bar where stderr is a terminal, lines elsewhere."""
    return Bar() if animates() else Lines()
