"""One story by ``POST /v1/stories``: its events are read as they come, and every picture is fetched."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx2

from .client import LARGEST_EVENT, check_status, fetch_picture, message_of, post
from .outcome import Outcome, Prompt, RequestFailed

PARTIAL = ("draft", "estimate")  # events that name a picture that is not finished


class StoriesEndpoint:
    """The service's own route. A frame has arrived when the last byte of its picture has."""

    def __init__(self, client: httpx2.AsyncClient, fields: dict[str, Any]) -> None:
        self.client, self.fields = client, fields

    async def send(self, prompt: Prompt, outcome: Outcome, now: Callable[[], float]) -> None:
        """Draw the story of ``prompt``, to its end."""
        body = {"sentences": list(prompt.sentences), "seed": prompt.seed, **self.fields}
        story = await post(self.client, "/v1/stories", body)
        url = story.get("events_url") or f"/v1/stories/{story['id']}/events"
        async with self.client.stream("GET", url, headers={"Accept": "text/event-stream"}) as answer:
            if not answer.is_success:
                await answer.aread()
            check_status(answer)
            async for event in httpx2.EventSource(answer, LARGEST_EVENT):
                if event.event == "end":
                    break
                if event.data:
                    await self._take(event.event, event.json(), outcome, now)
            else:
                raise RequestFailed("the events ended before the story did")
        if len(outcome.frames) != len(prompt.sentences):
            raise RequestFailed(f"{len(outcome.frames)} frames arrived for {len(prompt.sentences)} sentences")

    async def _take(self, kind: str, data: Any, outcome: Outcome, now: Callable[[], float]) -> None:
        if kind == "started" and outcome.queue_wait_s is None:
            outcome.queue_wait_s = now() - (outcome.sent or 0.0)
        elif kind in PARTIAL and outcome.first_partial is None:
            await fetch_picture(self.client, data["url"])
            outcome.first_partial = now()
        elif kind == "frame":
            await fetch_picture(self.client, data["url"])
            outcome.frames.append(now())
            if data.get("finished_at"):
                outcome.deliveries.append(time.time() - data["finished_at"])
            outcome.stages_ms.append(data.get("phases_ms") or {})
        elif kind in ("failed", "cancelled"):
            reason = (data.get("error") or {}).get("message", "") if isinstance(data, dict) else ""
            raise RequestFailed(f"the story was {kind}: {message_of(reason)}" if reason else f"the story was {kind}")
