"""Pictures and records of a story."""

from __future__ import annotations

from pathlib import Path as Folder
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from ...storage.story_reader import STORY_FILE
from ...utils.atomic import png_bytes
from ..service import Service, service
from ..story_files import (
    BRIEFLY,
    MAX_INDEX,
    as_png,
    as_webp,
    draft,
    drawn_sheet,
    estimate,
    frame,
    made_file,
    timeline,
)
from ..submit import get_job

router = APIRouter(prefix="/v1/stories/{name}", tags=["files"])


def folder(name: str, here: Annotated[Service, Depends(service)]) -> Folder:
    """The story's folder; its id is one that the store has."""
    return here.settings.stories / get_job(here, name, "story").id


In = Annotated[Folder, Depends(folder)]
Index = Annotated[int, Path(ge=0, le=MAX_INDEX)]


@router.get("/frames/{index}.png", response_class=Response)
def frame_png(index: Index, folder: In) -> Response:
    """A finished frame, as it lies on disk; frames count from 0."""
    return as_png(frame(folder, index))


@router.get("/frames/{index}.webp", response_class=Response)
def frame_webp(index: Index, folder: In) -> Response:
    """A finished frame as lossless WebP."""
    return as_webp(frame(folder, index))


@router.get("/drafts/{index}.png", response_class=Response)
def draft_png(index: Index, folder: In) -> Response:
    """The draft: the picture that the autoregressive model drew."""
    return as_png(draft(folder, index))


@router.get("/estimates/{index}/{number}.png", response_class=Response)
def estimate_png(index: Index, number: Index, folder: In) -> Response:
    """An estimate of the corrected frame, made on its way."""
    return as_png(estimate(folder, index, number))


@router.get("/sheet.png", response_class=Response)
def sheet(folder: In) -> Response:
    """The contact sheet of the frames so far."""
    return Response(png_bytes(drawn_sheet(folder)), media_type="image/png", headers=BRIEFLY)


@router.get("/trace.json")
def trace(folder: In, response: Response) -> dict[str, Any]:
    """The timeline of the frames so far, in Chrome's trace format."""
    response.headers.update(BRIEFLY)
    return timeline(folder)


@router.get("/story.json", response_class=Response)
def record(folder: In) -> Response:
    """The record that ``acdc story`` writes, too: settings, prompts, codes, times."""
    return made_file(folder, STORY_FILE, "application/json")
