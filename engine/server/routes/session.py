"""``/v1/session``: a page exchanges an API key for a cookie, since ``EventSource`` sends no headers of its own."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from ..errors import ApiError
from ..guard import CHALLENGE
from ..keys import COOKIE, SESSION_S
from ..service import Here

router = APIRouter(prefix="/v1/session", tags=["session"])


class Given(BaseModel):
    """The key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str


@router.get("")
def read(request: Request, here: Here) -> dict[str, bool]:
    """Does the server want a key, and has this browser given one?"""
    return {"required": bool(here.keys), "accepted": here.keys.accepted(request.headers) is not None}


@router.post("")
def create(given: Given, response: Response, here: Here, request: Request) -> dict[str, bool]:
    """Set the cookie; 401 for a wrong key."""
    if here.keys and not here.keys.accepts(given.key):
        raise ApiError(401, "the API key is not valid", code="invalid_api_key", headers=CHALLENGE)
    if here.keys:
        cookie = here.keys.session(given.key)
        secure = request.url.scheme == "https"
        path = here.settings.root_path or "/"
        response.set_cookie(COOKIE, cookie, int(SESSION_S), httponly=True, samesite="strict", secure=secure, path=path)
    return {"required": bool(here.keys), "accepted": True}


@router.delete("")
def delete(response: Response, here: Here) -> dict[str, bool]:
    """Forget the key."""
    response.delete_cookie(COOKIE, path=here.settings.root_path or "/")
    return {"required": bool(here.keys), "accepted": not here.keys}
