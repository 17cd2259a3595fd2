"""``/v1/images/generations`` and ``/v1/images/edits``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from io import BytesIO
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image

from ..errors import ApiError
from ..service import Here, Service
from ..store.records import Job, StoredEvent
from ..submit import idempotency_key
from .answers import pictures_answer
from .bodies import documented, read_fields, read_json
from .events import Kind, Partial, completed_event, partial_event
from .forms import Form, read_form
from .picture_fields import EditFields, GenerationFields, PictureFields
from .pictures import encoded, entries_of, folder_of, picture_of, shown_of, waited_for
from .queue import STORY, Uploads, queue_edit, queue_generation
from .refusal import Refusal, unsupported
from .sse import EventStream, message
from .uploads import mask_of, read_picture
from .work import Owned, all_events_of, events_of, while_connected

router = APIRouter(prefix="/v1/images", tags=["openai"])
MOST_IMAGES = 16


@router.post("/generations", openapi_extra=documented(GenerationFields, "application/json"))
async def generate(request: Request, here: Here) -> Response:
    """A frame of one sentence, ``n`` of them, or a story: by the fields of OpenAI's images and the engine's own."""
    asked = await read_json(request, GenerationFields)
    asked.check()
    jobs = await asyncio.to_thread(queue_generation, here, request, asked)
    return await _answer(here, request, "image_generation", asked, jobs, len(jobs[0].sentences))


@router.post("/edits", openapi_extra=documented(EditFields, "multipart/form-data"))
async def edit(request: Request, here: Here) -> Response:
    """Uploaded pictures, corrected under a prompt by the diffusion model alone (SDEdit)."""
    form = await read_form(request)
    asked = read_fields(form.fields, EditFields, strict=False)
    asked.check()
    uploads = await asyncio.to_thread(read_uploads, form, here.settings.max_pixels)
    job = await asyncio.to_thread(queue_edit, here, request, asked, uploads)
    return await _answer(here, request, "image_edit", asked, [job], asked.n * len(uploads.images))


def read_uploads(form: Form, most_pixels: int) -> Uploads:
    """The pictures of an edit's form; :class:`Refusal` for missing and unreadable ones, and for files of no use."""
    for name in form.files:
        if name not in ("image", "mask"):
            raise unsupported(name, "a file", "send image, image[] and mask")
    given, masks = form.files.get("image", []), form.files.get("mask", [])
    if not 0 < len(given) <= MOST_IMAGES:
        raise Refusal(f"{len(given)} files come as image; send 1 to {MOST_IMAGES}", "image")
    images = [read_picture(data, "image", most_pixels) for data in given]
    if not masks:
        return Uploads(images, None)
    return Uploads(images, mask_of(read_picture(masks[0], "mask", most_pixels), images[0]))


async def _answer(
    here: Service, request: Request, kind: Kind, asked: PictureFields, jobs: Sequence[Job], pictures: int
) -> Response:
    """``pictures`` of each job, as events or in one answer."""
    owner = Owned(here, jobs, kept=idempotency_key(request) is not None, removed=kind == "image_edit")
    if asked.stream:
        return EventStream(_stream(here, kind, asked, jobs[0], pictures, owner), owner)
    with owner:
        work = asyncio.gather(*(all_events_of(here, job, pictures) for job in jobs))
        found = await while_connected(request, work)
        owner.finished.update(job.id for job in jobs)
        return JSONResponse(await _whole(here, asked, jobs, found))


async def _whole(
    here: Service, asked: PictureFields, jobs: Sequence[Job], found: Sequence[Sequence[StoredEvent]]
) -> dict[str, Any]:
    frames, entries = [], []
    for job, events in zip(jobs, found, strict=True):
        own = [shown_of(job, event) for event in events if event.kind == "frame"]
        entries += await entries_of(here, job, asked, own)
        frames += own
    created, names = int(jobs[0].created), [job.id for job in jobs if job.kind == STORY]
    return pictures_answer(asked, created, entries, frames, names, waited_for(jobs, found))


async def _stream(
    here: Service, kind: Kind, asked: PictureFields, job: Job, pictures: int, owner: Owned
) -> AsyncGenerator[bytes, None]:
    """Partial images and finished ones, as they come; an error ends the stream."""
    seen, folder = 0, folder_of(here, job)
    try:
        async for event in events_of(here, job, pictures):
            if event.kind not in ("draft", "estimate", "frame"):
                continue
            png = picture_of(folder, event)
            picture = await encoded(png, asked)
            if event.kind == "frame":
                seen += 1
                last, frame = seen == pictures, shown_of(job, event)
                data = completed_event(kind, asked, frame, picture, int(event.created), last=last)
            else:
                data = partial_event(kind, asked, _partial(job, event, png), picture, int(event.created))
            yield message(data, data["type"])
        owner.finished.add(job.id)
    except ApiError as error:
        yield message(error.body, "error")


def _partial(job: Job, event: StoredEvent, png: bytes) -> Partial:
    """A partial image by its event; of an edit they count from the first estimate."""
    data, number = event.data, event.data.get("number", 0)
    with Image.open(BytesIO(png)) as picture:
        width, height = picture.size
    if job.kind == STORY:
        return Partial(data["index"], number, job.sentences[data["index"]], width, height)
    return Partial(data["index"], number - 1, job.body["prompt"], width, height)
