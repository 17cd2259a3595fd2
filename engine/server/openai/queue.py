"""Requests as jobs of the store."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import Request
from PIL import Image

from ...request import StoryRequest
from ...utils.atomic import write_bytes
from ..errors import ApiError, refusing
from ..removal import remove_later
from ..service import Service
from ..store.records import Job
from ..submit import check_model, idempotency_key, new_id, new_seed, submit
from .fields import OwnFields
from .model_info import model_info
from .picture_fields import EditFields, GenerationFields, check_size
from .sent_files import IMAGE, MASK
from .uploads import png_of

STORY, EDIT = "story", "edit"


class Uploads(NamedTuple):
    """Pictures to edit, and the mask (mode L, white may change) of the first."""

    images: Sequence[Image.Image]
    mask: Image.Image | None


def check_served(here: Service, asked: Any) -> None:
    """``ApiError`` for a model that is not served (404), and a size that the bundle does not draw (400)."""
    check_model(here, asked.model)
    if asked.size not in (None, "auto"):
        check_size(asked.size, [model_info(here)["size"]])


def story_body(
    here: Service, asked: OwnFields, sentences: Sequence[str], seed: int, partials: int, param: str
) -> dict[str, Any]:
    """A story's job; ``ApiError`` (400) for sentences and options that the engine refuses."""
    most = here.settings.max_sentences
    if len(sentences) > most:
        message = f"the story has {len(sentences)} sentences; the limit is {most}"
        raise ApiError(400, message, param=param, code="too_many_sentences")
    options = asked.options()
    with refusing(param):
        checked = StoryRequest(new_id(STORY), tuple(sentences), seed).sentences
    with refusing():
        StoryRequest(new_id(STORY), checked, seed, partial_images=partials, options=options)
    return {"sentences": list(checked), "seed": seed, "options": options, "partial_images": partials}


def queue_generation(here: Service, request: Request, asked: GenerationFields) -> list[Job]:
    """A story, or ``n`` stories of one sentence with seeds that follow one another."""
    check_served(here, asked)
    seed = new_seed() if asked.seed is None else asked.seed
    param = "prompt" if asked.sentences is None else "sentences"
    partials = asked.partial_images if asked.stream else 0
    bodies = [story_body(here, asked, asked.story(), seed + more, partials, param) for more in range(asked.n)]
    return queue_all(here, request, STORY, bodies, asked)


def queue_all(
    here: Service, request: Request, kind: str, bodies: Sequence[Mapping[str, Any]], asked: OwnFields
) -> list[Job]:
    """A job a body; where one finds no room those before it are removed."""
    key, sent = idempotency_key(request), asked.model_dump(exclude_unset=True, mode="json")
    jobs: list[Job] = []
    try:
        for number, body in enumerate(bodies):
            own = None if key is None else f"{key}.{number}"[-255:]
            jobs.append(submit(here, request, kind, body, asked={**sent, "number": number}, idempotency=own)[0])
    except ApiError:
        for job in jobs if key is None else ():
            remove_later(here, job.id)
        raise
    return jobs


def queue_edit(here: Service, request: Request, asked: EditFields, uploads: Uploads) -> Job:
    """One job for all pictures of an edit; its files are there before it is."""
    check_model(here, asked.model)
    sizes = [f"{image.width}x{image.height}" for image in uploads.images]
    for size in sizes:
        check_size(asked.size, [size])
    seed, partials = new_seed() if asked.seed is None else asked.seed, asked.partial_images if asked.stream else 0
    body = {"prompt": asked.prompt, "seed": seed, "options": asked.options(), "partial_images": partials}
    body |= {"images": len(uploads.images), "n": asked.n, "masked": uploads.mask is not None}
    with refusing("prompt"):
        StoryRequest(new_id(EDIT), (asked.prompt,), seed)
    files = {IMAGE.format(number): png_of(image) for number, image in enumerate(uploads.images)}
    files |= {} if uploads.mask is None else {MASK: png_of(uploads.mask)}
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    sent = {**asked.model_dump(exclude_unset=True, mode="json"), "files": digests}
    return submit_with_files(here, request, EDIT, body, new_id(EDIT), sent, partial(write_files, files=files))


def submit_with_files(
    here: Service,
    request: Request,
    kind: str,
    body: Mapping[str, Any],
    name: str,
    sent: Mapping[str, Any],
    write: Callable[[Path], None],
) -> Job:
    """The job ``name``; ``write`` puts its files into its folder before it is queued. They are removed where it is not,
    whatever the reason, and where another job answers the same request."""
    folder, job = here.settings.stories / name, None
    try:
        write(folder)
        job, _ = submit(here, request, kind, body, name=name, asked=sent)
        return job
    finally:
        if job is None or job.id != name:
            shutil.rmtree(folder, ignore_errors=True)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Files by their names relative to the job's folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, data)
