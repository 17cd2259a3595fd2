"""Pictures of a job, from its events and files, in a client's format."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from .. import story_files
from ..service import Service
from ..store.records import Job, StoredEvent
from .answers import Shown, Usage, Waited
from .encode import animate, base64_of, encode
from .picture_fields import GenerationFields, PictureFields


def folder_of(here: Service, job: Job) -> Path:
    """The folder of a job's files."""
    return here.settings.stories / job.id


def shown_of(job: Job, event: StoredEvent) -> Shown:
    """A finished frame by its event."""
    data = event.data
    return Shown(
        data["index"],
        data["sentence"],
        data["refined_prompt"],
        data.get("seed", job.body["seed"]),
        data["corrected"],
        data["width"],
        data["height"],
        Usage(data.get("text_tokens", 0), data["image_tokens"]),
        data["phases_ms"],
    )


def waited_for(jobs: Sequence[Job], events: Sequence[Sequence[StoredEvent]]) -> Waited:
    """The time that the jobs of a request waited, and were worked on."""
    begun = [next((event.created for event in own if event.kind == "started"), own[0].created) for own in events]
    first, last = min(begun), max(own[-1].created for own in events)
    return Waited(max(0.0, first - min(job.created for job in jobs)), max(0.0, last - first))


def picture_of(folder: Path, event: StoredEvent) -> bytes:
    """The PNG file that an event announces: a frame's, a draft's, an estimate's."""
    index = event.data["index"]
    if event.kind == "frame":
        return story_files.frame(folder, index)
    if event.kind == "draft":
        return story_files.draft(folder, index)
    return story_files.estimate(folder, index, event.data["number"])


async def encoded(png: bytes, asked: PictureFields) -> str:
    """A picture in the client's format, in base64; a thread makes it."""
    return base64_of(await asyncio.to_thread(encode, png, asked.output_format, asked.output_compression))


async def entries_of(here: Service, job: Job, asked: PictureFields, frames: Sequence[Shown]) -> list[dict[str, object]]:
    """Elements of ``data``, one a frame, or one animation of all."""
    folder = folder_of(here, job)
    if isinstance(asked, GenerationFields) and asked.output_format == "gif":
        whole = await asyncio.to_thread(animation, folder, frames, asked.frame_duration_ms)
        return [frames[-1].entry(base64_of(whole))]
    found = []
    for frame in frames:
        draft = await encoded(story_files.draft(folder, frame.index), asked) if asked.include_drafts else None
        found.append(frame.entry(await encoded(story_files.frame(folder, frame.index), asked), draft))
    return found


def animation(folder: Path, frames: Sequence[Shown], duration_ms: int | None) -> bytes:
    """A GIF of frames."""
    pictures = []
    for frame in frames:
        with Image.open(BytesIO(story_files.frame(folder, frame.index))) as picture:
            pictures.append(picture.convert("RGB"))
    return animate(pictures, duration_ms)
