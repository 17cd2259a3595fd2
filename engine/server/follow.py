"""Follow a job: its events from the store, then those that come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fastapi.sse import ServerSentEvent

from .service import Service
from .store.records import StoredEvent

RETRY_MS = 1000  # after which a browser connects again
Wire = Callable[[StoredEvent], ServerSentEvent]


async def follow(here: Service, job: str, after: int = -1) -> AsyncGenerator[StoredEvent, None]:
    """Events of a job with a seq above ``after``, to its last one or the server's shutdown; each once, in order."""
    async with here.watcher.subscribed(job) as queue:  # before the look into the store, so that none is missed
        for event in await asyncio.to_thread(here.store.events, job, after):
            after = event.seq
            yield event
            if event.last:
                return
        while (new := await queue.get()) is not None:
            if new.seq <= after:
                continue
            after = new.seq
            yield new
            if new.last:
                return


async def follow_all(here: Service, after: int | None = None) -> AsyncGenerator[StoredEvent, None]:
    """Events of all jobs with a number above ``after`` (None: from now on), until the server's shutdown."""
    async with here.watcher.subscribed() as queue:
        last = await asyncio.to_thread(here.store.last_number) if after is None else after
        while found := await asyncio.to_thread(here.store.all_events, last):
            for event in found:
                last = event.number
                yield event
        while (new := await queue.get()) is not None:
            if new.number > last:
                last = new.number
                yield new


async def streamed(
    here: Service, events: AsyncGenerator[StoredEvent, None], wire: Wire
) -> AsyncGenerator[ServerSentEvent, None]:
    """Server-sent events; the first is a comment, so that the body begins at once. A shutdown ends with ``closing``."""
    here.metrics.streams.labels(here.model).inc()
    try:
        yield ServerSentEvent(comment="connected", retry=RETRY_MS)
        async with aclosing(events):  # which gives its subscription up as soon as the client leaves
            async for event in events:
                yield wire(event)
        if here.watcher.closed:
            yield ServerSentEvent(event="closing", data={}, retry=RETRY_MS)
    finally:
        here.metrics.streams.labels(here.model).dec()
