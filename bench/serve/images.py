"""One picture by ``POST /v1/images/generations``, of our service or any other that speaks OpenAI's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from .client import LARGEST_EVENT, check_status, fetch_picture, message_of, post
from .outcome import Outcome, Prompt, RequestFailed

ROUTE = "/v1/images/generations"


class ImagesEndpoint:
    """With ``partial_images`` the answer is streamed, and its first partial image is timed."""

    def __init__(self, client: httpx2.AsyncClient, fields: dict[str, Any], partial_images: int) -> None:
        self.client, self.fields, self.partial_images = client, fields, partial_images

    async def send(self, prompt: Prompt, outcome: Outcome, now: Callable[[], float]) -> None:
        """Draw the picture of ``prompt``."""
        body = {"prompt": prompt.sentences[0], "n": 1, "seed": prompt.seed, **self.fields}
        if self.partial_images:
            await self._stream({**body, "stream": True, "partial_images": self.partial_images}, outcome, now)
        else:
            await self._whole(body, outcome, now)

    async def _whole(self, body: dict[str, Any], outcome: Outcome, now: Callable[[], float]) -> None:
        answer = await post(self.client, ROUTE, body)
        pictures = answer.get("data") or []
        if not pictures:
            raise RequestFailed("the answer has no picture")
        for picture in pictures:
            if not picture.get("b64_json"):
                await fetch_picture(self.client, picture["url"])
            outcome.frames.append(now())
        note_metrics(outcome, answer)

    async def _stream(self, body: dict[str, Any], outcome: Outcome, now: Callable[[], float]) -> None:
        async with self.client.stream("POST", ROUTE, json=body) as answer:
            if not answer.is_success:
                await answer.aread()
            check_status(answer)
            async for event in httpx2.EventSource(answer, LARGEST_EVENT):
                if event.data and event.data != "[DONE]":
                    take(event.json(), outcome, now)
        if not outcome.frames:
            raise RequestFailed("the stream ended without a finished picture")


def take(data: Any, outcome: Outcome, now: Callable[[], float]) -> None:
    """Note one event of a streamed answer; :class:`RequestFailed` for an error in it."""
    if error := data.get("error"):
        raise RequestFailed(message_of(error.get("message", "") if isinstance(error, dict) else str(error)))
    kind = str(data.get("type"))
    if kind.endswith(".partial_image") and outcome.first_partial is None:
        outcome.first_partial = now()
    elif kind.endswith(".completed"):
        outcome.frames.append(now())
        note_metrics(outcome, data)


def note_metrics(outcome: Outcome, answer: Mapping[str, Any]) -> None:
    """Stage durations and the wait in the queue, where the service says them, in seconds, under vLLM-Omni's names."""
    metrics = answer.get("metrics") or {}
    stages = metrics.get("stage_durations") or {}
    outcome.stages_ms.append({str(name): 1e3 * float(seconds) for name, seconds in stages.items()})
    if metrics.get("queue_wait_s") is not None:
        outcome.queue_wait_s = float(metrics["queue_wait_s"])
