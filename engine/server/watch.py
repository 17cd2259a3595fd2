"""One reader of the store for all streams of this process: it polls for new events and hands them to those who wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from .store.records import StoredEvent
from .store.store import Store

LOG = logging.getLogger("acdc.serve")
BUSY_S, IDLE_S = 0.05, 0.5  # between two polls, with and without streams
LOOK_S = 0.005  # between two looks whether the store was written, while there are streams
MAX_PENDING = 10_000  # events that a slow client may leave unread before its stream ends; it may come again
Events = asyncio.Queue[StoredEvent | None]


class Watcher:
    """``on_event`` is called with each new event of any job, in the order of their numbers."""

    def __init__(self, store: Store, on_event: Callable[[StoredEvent], None] | None = None) -> None:
        self.store, self.on_event = store, on_event
        self.streams: dict[Events, str | None] = {}  # -> the job whose events it wants, None: those of all
        self.closed = False
        self._wake = asyncio.Event()

    @asynccontextmanager
    async def subscribed(self, job: str | None = None) -> AsyncIterator[Events]:
        """A queue that gets every event of the job (None: of all) from now on, and None if it is to end."""
        queue: Events = asyncio.Queue()
        self.streams[queue] = job
        if self.closed:
            queue.put_nowait(None)
        self._wake.set()
        try:
            yield queue
        finally:
            self.streams.pop(queue, None)

    def wake(self) -> None:
        """Poll now; from the event loop's thread."""
        self._wake.set()

    def close(self) -> None:
        """The server shuts down: every stream ends."""
        self.closed = True
        for queue in self.streams:
            queue.put_nowait(None)

    async def run(self) -> None:
        """Poll until it is cancelled. A store that fails is asked again."""
        last: int | None = None
        while True:
            written = self.store.database.written()
            try:
                if last is None:
                    last = await asyncio.to_thread(self.store.last_number)
                found = await asyncio.to_thread(self.store.all_events, last)
            except SQLAlchemyError as error:
                LOG.warning("the store cannot be read: %s", type(error).__name__)
                found = []
            for event in found:
                last = event.number
                self._hand_out(event)
            if not found:
                await self._sleep(written)

    async def _sleep(self, written: int | None) -> None:
        """Until it is time for the next poll: at once where the store was written after the last one began."""
        self._wake.clear()
        end = time.monotonic() + (BUSY_S if self.streams else IDLE_S)
        while (left := end - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(left, LOOK_S) if self.streams else left)
            if self._wake.is_set() or self.store.database.written() != written:
                return

    def _hand_out(self, event: StoredEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)
        for queue, job in list(self.streams.items()):
            if job is not None and job != event.job:
                continue
            if queue.qsize() < MAX_PENDING:
                queue.put_nowait(event)
            else:
                self.streams.pop(queue)
                queue.put_nowait(None)
