"""``/v1/stories``: submit, read, append to, close, cancel and delete stories."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ...request import StoryRequest
from ..continuation import Continuation, read_continuation, token_of
from ..errors import NO_RETRY, ApiError, refusing
from ..removal import remove
from ..service import Here, Service
from ..store.records import STATES, Job
from ..store.store import Closed
from ..story_options import read_options
from ..story_view import story_line, story_object, story_url
from ..submit import check_model, get_job, is_id, new_id, new_seed, submit

router = APIRouter(prefix="/v1/stories", tags=["stories"])
KIND = "story"
DRAFTS = 1  # partial images of a frame that asks for no number


class NewStory(BaseModel):
    """A story to draw. Further fields are options of the story by name (``strength``, ``num_inference_steps``, ...)."""

    model_config = ConfigDict(extra="allow", strict=True)

    sentences: list[str] = Field(description="One sentence a frame.", min_length=1)
    id: str | None = Field(None, description="The story's id; one is made where none is given.")
    seed: int | None = Field(None, ge=0, lt=2**64, description="Decides all draws; chosen where none is given.")
    model: str | None = Field(None, description="The served model's name.")
    open: bool = Field(False, description="Take further sentences until it is closed.")
    partial_images: int = Field(DRAFTS, ge=0, le=16, description="Pictures of a frame on its way: draft and estimates.")
    priority: int = Field(0, ge=-100, le=100, description="Higher ones come first.")
    continuation: Continuation | None = Field(None, description="Go on after the frames of this token.")
    idempotency_key: str | None = Field(None, max_length=255, description="As the header Idempotency-Key.")


class MoreSentences(BaseModel):
    """Sentences to append: one, or a list."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sentence: str | None = None
    sentences: list[str] | None = None


@router.post("", status_code=201)
def create(story: NewStory, request: Request, response: Response, here: Here) -> dict[str, Any]:
    """Queue a story. The answer names its events' stream."""
    check_model(here, story.model)
    asked = story.model_dump(exclude_unset=True, exclude={"idempotency_key"})
    body = story_body(here, story)
    if story.id is not None and not is_id(story.id):
        raise ApiError(400, f"id {story.id[:100]!r} is invalid; choose {ID_RULE}", param="id", code="invalid_value")
    job, new = submit(here, request, KIND, body, name=story.id, asked=asked, idempotency=story.idempotency_key)
    response.status_code = 201 if new else 200
    response.headers["location"] = story_url(here, job.id)
    return {**story_line(here, job), "position": here.store.position(job)}


ID_RULE = "1 to 100 letters, digits, - _ and . , a letter or digit first"


def story_body(here: Service, story: NewStory) -> dict[str, Any]:
    """The body of a story's job, checked as the engine will; ``ApiError`` (400) names the field."""
    options = read_options(story.__pydantic_extra__ or {})
    carried = read_continuation(here, story.continuation) if story.continuation else None
    sentences = [*(carried["sentences"] if carried else ()), *story.sentences]
    check_length(here, len(sentences))
    seed = story.seed if story.seed is not None else carried["seed"] if carried else new_seed()
    if carried:
        if seed != carried["seed"]:
            raise ApiError(400, "the continuation has another seed; leave it out", param="seed", code="invalid_value")
        options = {**carried["options"], **options}
    with refusing("sentences"):
        checked = StoryRequest(new_id(KIND), tuple(sentences), seed).sentences
    with refusing():
        StoryRequest(new_id(KIND), checked, seed, partial_images=story.partial_images, options=options)
    body = {"sentences": list(checked), "seed": seed, "options": options, "partial_images": story.partial_images}
    return body | ({"open": True} if story.open else {}) | ({"carried": carried} if carried else {})


def check_length(here: Service, length: int) -> None:
    """``ApiError`` (400) for a story of too many sentences."""
    most = here.settings.max_sentences
    if length > most:
        message = f"the story has {length} sentences; the limit is {most}"
        raise ApiError(400, message, param="sentences", code="too_many_sentences")


@router.get("")
def index(
    here: Here,
    state: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Stories, the newest first."""
    if state is not None and state not in STATES:
        raise ApiError(
            400,
            f"state {state[:100]!r} is unknown; choose one of {', '.join(STATES)}",
            param="state",
            code="invalid_value",
        )
    if after is not None:
        get_job(here, after, KIND)
    found = here.store.jobs([KIND], state=state, after=after, limit=limit + 1)
    lines = [story_line(here, job) for job in found[:limit]]
    ends = {"first_id": lines[0]["id"] if lines else None, "last_id": lines[-1]["id"] if lines else None}
    return {"object": "list", "data": lines, **ends, "has_more": len(found) > limit}


@router.get("/{name}")
def read(name: str, here: Here) -> dict[str, Any]:
    """A story with all its frames so far, and the token with which another server can go on."""
    job = get_job(here, name, KIND)
    return {**shown(here, job), "continuation": token_of(here, job)}


@router.post("/{name}/sentences")
def add_sentences(name: str, more: MoreSentences, here: Here) -> dict[str, Any]:
    """Append to an open story; it goes on after its last frame."""
    job = get_job(here, name, KIND)
    texts = [*([more.sentence] if more.sentence is not None else []), *(more.sentences or [])]
    if not texts:
        raise ApiError(
            400, "no sentence is given; give 'sentence' or 'sentences'", param="sentence", code="invalid_value"
        )
    with refusing("sentences"):
        checked = StoryRequest(job.id, tuple(texts), 0).sentences
    try:
        with refusing("sentences", "too_many_sentences"):
            return shown(here, here.store.add_sentences(name, checked, here.settings.max_sentences))
    except Closed as error:
        raise ApiError(409, str(error), code="story_closed", headers=NO_RETRY) from None


@router.post("/{name}/close")
def close(name: str, here: Here) -> dict[str, Any]:
    """No more sentences; the story ends after those that it has."""
    return shown(here, here.store.close(get_job(here, name, KIND).id))


@router.post("/{name}/cancel")
def cancel(name: str, here: Here) -> dict[str, Any]:
    """End the story now; finished frames stay."""
    return shown(here, here.store.cancel(get_job(here, name, KIND).id))


@router.delete("/{name}")
def delete(name: str, here: Here) -> dict[str, Any]:
    """End the story if it is not over, and remove it with all its files."""
    job = get_job(here, name, KIND)
    remove(here, job.id)
    return {"id": job.id, "object": "story.deleted", "deleted": True}


def shown(here: Service, job: Job) -> dict[str, Any]:
    """A story with its frames."""
    return story_object(here, job, here.store.events(job.id, kinds=("frame",)), here.store.position(job))
