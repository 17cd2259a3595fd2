"""The page at ``/``: static files of the package, without a key, since they say nothing about anybody's stories."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from ..errors import ApiError

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parents[1] / "page"
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
NAME = re.compile(rf"[a-z]+\.({'|'.join(TYPES)})")
FRESH = {"cache-control": "no-cache"}  # asked for again, and answered with 304 while it is the same


@router.get("/")
def index(request: Request) -> Response:
    """The page itself."""
    return file("index.html", request)


@router.get("/page/{name}")
def file(name: str, request: Request) -> Response:
    """One of its files; 404 for any other name."""
    found, path = NAME.fullmatch(name), FOLDER / name
    if found is None or not path.is_file():
        raise ApiError(404, f"the page has no file {name[:100]!r}", code="file_not_found")
    answer = FileResponse(path, media_type=TYPES[found[1]], headers=FRESH, stat_result=path.stat())
    if request.headers.get("if-none-match") == answer.headers["etag"]:
        return Response(status_code=304, headers={**FRESH, "etag": answer.headers["etag"]})
    return answer
