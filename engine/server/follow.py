"""Follow a job: its events from the store, then those that come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi.sse import ServerSentEvent

from .service import Service
from .store.records import StoredEvent

RETRY_MS = 1000  # after which a browser connects again
Wire = Callable[[StoredEvent], ServerSentEvent]


async def follow(here: Service, job: str, after: int = -1) -> AsyncIterator[StoredEvent]:
    """Events of a job with a seq above ``after``, to its last one or the server's shutdown; each once, in order."""
    async with here.watcher.subscribed(job) as queue:  # before the look into the store, so that none is missed
        for event in await asyncio.to_thread(here.store.events, job, after):
            after = event.seq
            yield event
            if event.last:
                return
        while (event := await queue.get()) is not None:
            if event.seq <= after:
                continue
            after = event.seq
            yield event
            if event.last:
                return


async def follow_all(here: Service, after: int | None = None) -> AsyncIterator[StoredEvent]:
    """Events of all jobs with a number above ``after`` (None: from now on), until the server's shutdown."""
    async with here.watcher.subscribed() as queue:
        last = await asyncio.to_thread(here.store.last_number) if after is None else after
        while found := await asyncio.to_thread(here.store.all_events, last):
            for event in found:
                last = event.number
                yield event
        while (event := await queue.get()) is not None:
            if event.number > last:
                last = event.number
                yield event


async def streamed(here: Service, events: AsyncIterator[StoredEvent], wire: Wire) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events; the first is a comment, so that the body begins at once. A shutdown ends with ``closing``."""
    here.metrics.streams.labels(here.model).inc()
    try:
        yield ServerSentEvent(comment="connected", retry=RETRY_MS)
        async for event in events:
            yield wire(event)
        if here.watcher.closed:
            yield ServerSentEvent(event="closing", data={}, retry=RETRY_MS)
    finally:
        here.metrics.streams.labels(here.model).dec()
