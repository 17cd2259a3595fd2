"""Streams of events: one story's, and those of all stories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from ..errors import ApiError
from ..follow import follow, follow_all, streamed
from ..service import Here, Service, service
from ..store.records import Job
from ..story_view import wire, wire_of_all
from ..submit import get_job

router = APIRouter(prefix="/v1", tags=["events"])
MAX_NUMBER = 2**62


def last_seen(request: Request, after: Annotated[int | None, Query(ge=-1, le=MAX_NUMBER)] = None) -> int | None:
    """The last event that the client has: by the header ``Last-Event-ID``, which a browser sends when it connects
    again, or by ``?after=``."""
    header = request.headers.get("last-event-id")
    if header is None:
        return after
    if not (header.isascii() and header.isdigit() and int(header) <= MAX_NUMBER):
        raise ApiError(400, f"Last-Event-ID {header[:100]!r} is not an event's id", code="invalid_value")
    return int(header)


def story(name: str, here: Annotated[Service, Depends(service)]) -> Job:
    """The story of the path; 404 before the stream begins."""
    return get_job(here, name, "story")


After = Annotated[int | None, Depends(last_seen)]


@router.get("/stories/{name}/events", response_class=EventSourceResponse)
async def story_events(job: Annotated[Job, Depends(story)], here: Here, after: After) -> AsyncIterator[ServerSentEvent]:
    """Events of a story: queued, started, draft, estimate, frame, waiting, and one of end, failed, cancelled."""
    events = follow(here, job.id, -1 if after is None else after)
    async with aclosing(streamed(here, events, lambda one: wire(here, one))) as stream:
        async for event in stream:
            yield event


@router.get("/events", response_class=EventSourceResponse)
async def all_events(here: Here, after: After) -> AsyncIterator[ServerSentEvent]:
    """Events of all stories, from now on or after the one that the client saw last."""
    async with aclosing(streamed(here, follow_all(here, after), lambda one: wire_of_all(here, one))) as stream:
        async for event in stream:
            yield event
