"""Errors of the API: one line, in the shape that OpenAI's clients read. Never 422, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from ..utils.to_one_line import one_line

LOG = logging.getLogger("acdc.serve")
NO_RETRY = {"x-should-retry": "false"}  # OpenAI's clients repeat 409 and 5xx unless an answer says so
TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """Raise it in a route: ``ApiError(404, "there is no story 'a'", code="story_not_found")``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.message, self.param, self.code = status, one_line(message), param, code
        super().__init__(self.message)
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The answer, which is also an event's data in a stream."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body, self.status, self.headers)


def too_many(message: str, seconds: int = 5) -> ApiError:
    """429: try again after that number of seconds."""
    return ApiError(429, message, code="queue_full", headers={"retry-after": str(seconds)})


def unavailable(message: str, code: str, seconds: int = 2) -> ApiError:
    """503: try again after that number of seconds."""
    return ApiError(503, message, code=code, headers={"retry-after": str(seconds)})


@contextmanager
def refusing(param: str | None = None, code: str = "invalid_value") -> Iterator[None]:
    """Turn a ``ValueError`` of the engine's checks into a 400 that names ``param``."""
    try:
        yield
    except ValueError as error:
        raise ApiError(400, str(error), param=param, code=code) from None


def add_handlers(app: FastAPI) -> None:
    """Every error that a route may raise, and those of the framework."""
    app.add_exception_handler(ApiError, lambda _, error: error.response())  # type: ignore[attr-defined]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(SQLAlchemyError, _store)  # type: ignore[arg-type]
    app.add_exception_handler(OSError, _disk)  # type: ignore[arg-type]


def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(place) or None
    if first["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON", code="invalid_json").response()
    message = str(first["msg"]).removeprefix("Value error, ")
    shown = f"{param}: {message}" if param else message
    return ApiError(400, shown, param=param, code="invalid_value").response()


def _http(_: Request, error: HTTPException) -> JSONResponse:
    code = HTTPStatus(error.status_code).name.lower()
    return ApiError(error.status_code, str(error.detail), code=code, headers=error.headers).response()


def _store(_: Request, error: SQLAlchemyError) -> JSONResponse:
    LOG.error("the store failed: %s", type(getattr(error, "orig", None) or error).__name__)
    return unavailable("the store of jobs cannot be used now; try again", "store_unavailable").response()


def _disk(_: Request, error: OSError) -> JSONResponse:
    LOG.error("a file cannot be used: %s", error.strerror or type(error).__name__)
    return unavailable("the server's disk cannot be used now; try again", "disk_unavailable").response()
