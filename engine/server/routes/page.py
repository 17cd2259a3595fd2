"""The page at ``/``: static files of the package, without a key, since they say nothing about anybody's stories."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from ..errors import ApiError

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parents[1] / "page"
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
NAME = re.compile(rf"[a-z]+\.({'|'.join(TYPES)})")
FRESH = {"cache-control": "no-cache"}  # asked for again, and answered with 304 while it is the same


@router.get("/", response_class=FileResponse)
def index() -> FileResponse:
    """The page itself."""
    return file("index.html")


@router.get("/page/{name}", response_class=FileResponse)
def file(name: str) -> FileResponse:
    """One of its files; 404 for any other name."""
    found = NAME.fullmatch(name)
    if found is None or not (FOLDER / name).is_file():
        raise ApiError(404, f"the page has no file {name[:100]!r}", code="file_not_found")
    return FileResponse(FOLDER / name, media_type=TYPES[found[1]], headers=FRESH)
