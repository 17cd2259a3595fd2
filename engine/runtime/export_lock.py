"""Plans are made while nothing else runs: torch traces a model by exchanging ``nn.Module.__call__`` for all threads.

A launch holds its share of the models while it runs. One that meets a shape without a plan releases its share, waits
until no launch holds one, traces, and takes its share again; launches that come meanwhile wait. The lock is the
process's because what is exchanged is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, local


class Tracing:
    """Concurrent launches, or one trace alone."""

    def __init__(self) -> None:
        self._changed, self._own = Condition(), local()
        self._launches, self._tracing, self._waiting = 0, False, 0

    @contextmanager
    def launch(self) -> Iterator[None]:
        """Models run within; waits for a trace to end."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No launch of another thread runs within."""
        inside = getattr(self._own, "inside", False)
        self._leave()
        try:
            self._begin()
            try:
                yield
            finally:
                self._end()
        finally:
            if inside:
                self._enter()

    def _enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._tracing and not self._waiting)
            self._launches += 1
        self._own.inside = True

    def _leave(self) -> None:
        """Nothing where this thread is outside: it was interrupted while it waited to enter."""
        if not getattr(self._own, "inside", False):
            return
        self._own.inside = False
        with self._changed:
            self._launches -= 1
            self._changed.notify_all()

    def _begin(self) -> None:
        with self._changed:
            self._waiting += 1  # launches that come now wait, so that this does not wait for ever
            try:
                self._changed.wait_for(lambda: not self._tracing and not self._launches)
                self._tracing = True
            finally:  # also by Ctrl-C
                self._waiting -= 1
                self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._tracing = False
            self._changed.notify_all()


EXPORT_LOCK = Tracing()
