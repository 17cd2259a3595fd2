"""Answers that are streams of server-sent events, kept alive while nothing happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Receive, Scope, Send

PING_S = 15.0
DONE = format_sse_event(data_str="[DONE]")


class EventStream(StreamingResponse):
    """``events`` are whole messages; the generator is closed when the client leaves. ``owner`` is a context around the
    answer: it ends for a client that has left before the first event as well, when no code of ``events`` runs."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], owner: AbstractContextManager[object]) -> None:
        super().__init__(kept_alive(events), headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        self.owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        with self.owner:
            await super().__call__(scope, receive, send)


def message(data: Mapping[str, Any], event: str | None = None) -> bytes:
    """One event whose data is JSON."""
    return format_sse_event(data_str=json.dumps(data), event=event)


async def kept_alive(events: AsyncGenerator[bytes, None], every_s: float = PING_S) -> AsyncIterator[bytes]:
    """``events``, with a comment after that number of seconds without one."""
    waiting: asyncio.Task[bytes] | None = None
    try:
        while True:
            waiting = asyncio.ensure_future(anext(events))
            while not (await asyncio.wait({waiting}, timeout=every_s))[0]:
                yield KEEPALIVE_COMMENT
            try:
                chunk = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield chunk
    finally:
        if waiting is not None and not waiting.done():
            waiting.cancel()  # the generator's own cleaning up follows
        else:
            await events.aclose()
