"""``/v1/videos``: films as jobs, by the names of OpenAI's client."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from ..removal import remove
from ..service import Here
from ..store.records import DONE
from .bodies import Fields, documented, read_fields, read_json
from .forms import read_form
from .refusal import unsupported
from .video_content import film, sheet, thumbnail
from .video_fields import RemixFields, VideoFields
from .video_jobs import KINDS, get_video, not_ready, queue_remix, queue_video, video_object

router = APIRouter(prefix="/v1/videos", tags=["openai"])
POLL_MS = {"openai-poll-after-ms": "500"}
BOTH = ("multipart/form-data", "application/json")


async def read_either(request: Request, model: type[Fields]) -> Fields:
    """The fields of a form, as the client sends it, or of a JSON body; files are refused."""
    if not request.headers.get("content-type", "").startswith("multipart/"):
        return await read_json(request, model)
    form = await read_form(request)
    for name in form.files:
        raise unsupported(name, "a file", "leave it out; pictures are corrected at /v1/images/edits")
    return read_fields(form.fields, model, strict=False)


@router.post("", openapi_extra=documented(VideoFields, *BOTH))
async def create(request: Request, here: Here) -> dict[str, Any]:
    """Queue a clip of one sentence, or a story as a film."""
    asked = await read_either(request, VideoFields)
    job = await asyncio.to_thread(queue_video, here, request, asked)
    return await asyncio.to_thread(video_object, here, job)


@router.get("")
def index(
    here: Here,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """Videos, the newest first unless ``order`` is asc."""
    if after is not None:
        get_video(here, after)
    found = here.store.jobs(KINDS, after=after, limit=limit + 1, ascending=order == "asc")
    shown = [video_object(here, job) for job in found[:limit]]
    ends = {"first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}
    return {"object": "list", "data": shown, **ends, "has_more": len(found) > limit}


@router.post("/extensions", openapi_extra=documented(RemixFields, *BOTH))
async def extend(request: Request, here: Here) -> dict[str, Any]:
    """Queue a longer video: the frames of one that is completed, and those of further words."""
    asked = (await read_either(request, RemixFields)).model_copy(update={"extend": True})
    source = await asyncio.to_thread(get_video, here, asked.source())
    return video_object(here, await asyncio.to_thread(queue_remix, here, request, asked, source))


@router.get("/{name}")
def read(name: str, here: Here, response: Response) -> dict[str, Any]:
    """A video's state; ``progress`` is in per cent of its frames."""
    response.headers.update(POLL_MS)
    return video_object(here, get_video(here, name))


@router.delete("/{name}")
def delete(name: str, here: Here) -> dict[str, Any]:
    """End a video if it is not over, and remove it with its files."""
    job = get_video(here, name)
    remove(here, job.id)
    return {"id": job.id, "deleted": True, "object": "video.deleted"}


@router.post("/{name}/cancel")
def cancel(name: str, here: Here) -> dict[str, Any]:
    """End a video now; it is then failed, with the error's code cancelled."""
    return video_object(here, here.store.cancel(get_video(here, name).id))


@router.get("/{name}/content", response_class=Response)
def content(name: str, here: Here, variant: Literal["video", "thumbnail", "spritesheet"] = "video") -> Response:
    """The MP4, the first frame as WebP, or the contact sheet as JPEG."""
    job = get_video(here, name)
    if job.state != DONE:
        raise not_ready(job)
    folder, video = here.settings.stories / job.id, job.body["video"]
    if variant == "thumbnail":
        return Response(thumbnail(folder), media_type="image/webp")
    if variant == "spritesheet":
        return Response(sheet(folder), media_type="image/jpeg")
    return Response(film(folder, video["num_frames"], video["fps"]), media_type="video/mp4")


@router.post("/{name}/remix", openapi_extra=documented(RemixFields, "application/json"))
async def remix(name: str, request: Request, here: Here) -> dict[str, Any]:
    """Queue the video again with other words and the same seed; ``extend``: go on after its frames."""
    asked = await read_json(request, RemixFields)
    source = await asyncio.to_thread(get_video, here, name)
    return video_object(here, await asyncio.to_thread(queue_remix, here, request, asked, source))
