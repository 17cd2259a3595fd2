"""Jobs of a request: queued, followed to their last picture, and ended when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from fastapi import Request

from ..errors import NO_RETRY, ApiError, too_many, unavailable
from ..follow import follow
from ..removal import remove_later
from ..service import Service
from ..store.records import Job, StoredEvent

QUEUE_S = 300.0  # a client without a stream gives up after 600 s without a byte
Result = TypeVar("Result")


class ClientLeft(ApiError):
    """The client has left."""

    def __init__(self) -> None:
        super().__init__(499, "the client has closed the connection", code="client_closed_request")


async def events_of(here: Service, job: Job, pictures: int) -> AsyncIterator[StoredEvent]:
    """Events of a job to the last of its ``pictures``. ``ApiError`` where it fails, is cancelled, or the server
    shuts down."""
    seen = 0
    async with aclosing(follow(here, job.id)) as events:  # type: ignore[type-var]
        async for event in events:
            if event.kind == "failed":
                raise failure(event.data["error"])
            if event.kind == "cancelled":
                raise ApiError(409, f"{job.id} was cancelled", code="cancelled", headers=NO_RETRY)
            yield event
            seen += event.kind == "frame"
            if seen == pictures or event.last:
                return
    raise unavailable("the server shuts down; try again", "closing")


async def all_events_of(here: Service, job: Job, pictures: int) -> list[StoredEvent]:
    """The events in one list; 429 for a job that waits too long for a worker."""
    found: list[StoredEvent] = []
    try:
        async with asyncio.timeout(QUEUE_S) as limit:
            async for event in events_of(here, job, pictures):
                if event.kind == "started":
                    limit.reschedule(None)
                found.append(event)
    except TimeoutError:
        raise too_many(f"no worker was free for {QUEUE_S:g} s; try again later, or stream", 30) from None
    return found


def failure(error: dict[str, Any]) -> ApiError:
    """A job's error as the answer to its request; a client must not repeat it by itself."""
    status = 400 if error.get("type") == "invalid_request_error" else 500
    return ApiError(status, error["message"], param=error.get("param"), code=error.get("code"), headers=NO_RETRY)


async def while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """The result of ``work``; it is cancelled, and ``ClientLeft`` raised, where the client leaves before."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientLeft
    finally:
        leaving.cancel()
        working.cancel()
        with suppress(BaseException):
            await working  # it ends its jobs


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Owned:
    """Jobs that live as long as their request: a context at whose end those that are not ``finished``, which have all
    their pictures, are cancelled, unless they are ``kept``; ``removed`` ones go with their files, finished or not.

    Its end waits for nothing, so that it works in a task that is cancelled."""

    def __init__(self, here: Service, jobs: Sequence[Job], *, kept: bool = False, removed: bool = False) -> None:
        self.here, self.jobs, self.kept, self.removed = here, jobs, kept, removed
        self.finished = set[str]()

    def __enter__(self) -> Owned:
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for job in () if self.kept else self.jobs:
            if job.id not in self.finished:  # at once, also where its removal waits for others
                loop.run_in_executor(None, self._cancel, job.id)
            if self.removed:
                remove_later(self.here, job.id, cancel=False)

    def _cancel(self, name: str) -> None:
        with suppress(LookupError):  # another request has removed it
            self.here.store.cancel(name)
