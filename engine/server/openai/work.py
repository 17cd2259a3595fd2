"""Jobs of a request: queued, followed to their last picture, and ended when the client leaves."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any, TypeVar

from fastapi import Request

from ..errors import NO_RETRY, ApiError, too_many, unavailable
from ..follow import follow
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
    """Jobs that live as long as their request. ``finished`` ones have all their pictures."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs, self.finished = jobs, set[str]()


@contextmanager
def owned(here: Service, jobs: Sequence[Job], *, kept: bool = False, removed: bool = False) -> Iterator[Owned]:
    """Cancel what is not finished at the end of the block, unless it is ``kept``; with ``removed`` remove the
    files as well.

    It waits for nothing, so that it works in a task that is cancelled."""
    owner, loop = Owned(jobs), asyncio.get_running_loop()
    try:
        yield owner
    finally:
        for job in () if kept else jobs:
            if removed:
                loop.run_in_executor(None, remove, here, job.id)
            elif job.id not in owner.finished:
                loop.run_in_executor(None, here.store.cancel, job.id)


def remove(here: Service, name: str) -> None:
    """End a job, and remove it with its files."""
    with suppress(LookupError):  # somebody else has removed it
        here.store.cancel(name)
        here.store.delete(name)
    shutil.rmtree(here.settings.stories / name, ignore_errors=True)
