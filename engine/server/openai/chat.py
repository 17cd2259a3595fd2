"""``/v1/chat/completions``: a conversation is a story; each user message is a sentence, each answer a frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ..errors import ApiError
from ..service import Here, Service
from ..store.records import Job, StoredEvent
from ..submit import check_model, idempotency_key, new_id
from .answers import Shown
from .bodies import documented, read_json
from .chat_fields import ChatFields
from .chat_pictures import PARAM, given_in, picture_url
from .pictures import folder_of, picture_of, shown_of
from .queue import STORY, story_body, submit_with_files, write_files
from .sent_files import GIVEN
from .sse import DONE, EventStream, message
from .work import Owned, all_events_of, events_of, while_connected

router = APIRouter(prefix="/v1/chat", tags=["openai"])


class Drawn(NamedTuple):
    """The frame that answers, and its picture as a data URL."""

    frame: Shown
    url: str


@router.post("/completions", openapi_extra=documented(ChatFields, "application/json"))
async def complete(request: Request, here: Here) -> Response:
    """Draw the last user message as the next frame of the conversation's story."""
    asked = await read_json(request, ChatFields)
    asked.check()
    check_model(here, asked.model)
    job = await asyncio.to_thread(queue_chat, here, request, asked)
    owner = Owned(here, [job], kept=idempotency_key(request) is not None)
    if asked.stream:
        return EventStream(_stream(here, asked, job, owner), owner)
    with owner:
        events = await while_connected(request, all_events_of(here, job, len(job.sentences)))
        owner.finished.add(job.id)
        drawn = await drawn_of(here, job, events[-1])
    choice = {"index": 0, "message": {"role": "assistant", **said(drawn, job)}, "finish_reason": "stop"}
    answer = {**_head(here, job, "chat.completion"), "choices": [{**choice, "logprobs": None}]}
    return JSONResponse({**answer, "usage": drawn.frame.usage.of_chat()})


def queue_chat(here: Service, request: Request, asked: ChatFields) -> Job:
    """A story whose first frames are the conversation's; their files are there before it is."""
    turns = asked.turns()
    given = given_in(here, turns)
    body = story_body(here, asked, [turn.sentence for turn in turns], asked.story_seed(), 0, PARAM)
    body["given"] = [frame.record for frame in given]
    write = partial(write_files, files={GIVEN.format(number): frame.png for number, frame in enumerate(given)})
    sent = asked.model_dump(exclude_unset=True, mode="json")
    return submit_with_files(here, request, STORY, body, new_id(STORY), sent, write)


async def drawn_of(here: Service, job: Job, event: StoredEvent) -> Drawn:
    """The last frame of a story."""
    png = picture_of(folder_of(here, job), event)
    url = await asyncio.to_thread(picture_url, here, job, event.data["index"], png)
    return Drawn(shown_of(job, event), url)


def said(drawn: Drawn, job: Job) -> dict[str, Any]:
    """The answer's words, which are the frame's prompt, and its picture."""
    frame = drawn.frame
    own = {"story_id": job.id, "frame_index": frame.index, "seed": frame.seed, "corrected": frame.corrected}
    images = [{"type": "image_url", "image_url": {"url": drawn.url}, "index": 0}]
    return {"content": frame.refined_prompt, "images": images, "acdc": own}


async def _stream(here: Service, asked: ChatFields, job: Job, owner: Owned) -> AsyncGenerator[bytes, None]:
    """Chunks: the role, the picture, the end, and the usage where it is asked for."""
    head = _head(here, job, "chat.completion.chunk")
    try:
        yield message({**head, "choices": [_choice({"role": "assistant", "content": ""}, None)]})
        events = [event async for event in events_of(here, job, len(job.sentences))]
        owner.finished.add(job.id)
        drawn = await drawn_of(here, job, events[-1])
        yield message({**head, "choices": [_choice(said(drawn, job), None)]})
        yield message({**head, "choices": [_choice({}, "stop")]})
        if (asked.stream_options or {}).get("include_usage"):
            yield message({**head, "choices": [], "usage": drawn.frame.usage.of_chat()})
        yield DONE
    except ApiError as error:
        yield message(error.body)


def _head(here: Service, job: Job, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{job.id}", "object": kind, "created": int(job.created), "model": here.model}


def _choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
