"""The outermost layer of the app: it admits requests, adds headers to answers, and keeps tracebacks out of them."""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import NO_RETRY, ApiError
from .exchange import Answer, Body, TooLarge, path_of
from .keys import Keys

LOG, ACCESS = logging.getLogger("acdc.serve"), logging.getLogger("acdc.serve.access")
GUARDED, OPEN = "/v1/", ("/v1/session",)  # paths that need a key, and those below them that do not
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOCAL = ("localhost", "127.0.0.1", "::1")
CHALLENGE = {"www-authenticate": "Bearer"}
MAX_ID = 128  # characters of a client's own x-request-id


class Guard:
    """ASGI middleware around everything."""

    def __init__(
        self, app: ASGIApp, keys: Keys, hosts: Iterable[str] | None, origins: Iterable[str], max_body: int
    ) -> None:
        """``hosts`` are the names that a Host header may have (None: any), ``origins`` those of foreign pages,
        ``max_body`` the bytes that a request's body may have."""
        self.app, self.keys, self.origins, self.max_body = app, keys, set(origins), max_body
        self.hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, begun = Headers(scope=scope), time.perf_counter()
        body = Body(receive, self.max_body)
        answer = Answer(send, scope, body, _request_id(headers))
        try:
            scope.setdefault("state", {})["key_hash"] = self._admit(scope, headers)
            body.check_declared(headers.get("content-length", ""))
            await self.app(scope, body, answer)
        except ApiError as error:
            await error.response()(scope, receive, answer)
        except TooLarge:
            body.exceeded = False
            refusal = ApiError(413, f"the body has more than {self.max_body} bytes", code="body_too_large")
            await refusal.response()(scope, receive, answer)
        except Exception as error:
            LOG.error("%s %s: %s", scope["method"], _route(scope), _place(error))
            LOG.debug("%s", traceback.format_exc())
            if answer.status is None:
                failed = ApiError(500, "the server failed; its log names the place", code="internal", headers=NO_RETRY)
                await failed.response()(scope, receive, answer)
        finally:
            took = (time.perf_counter() - begun) * 1e3
            ACCESS.info("%s %s %s %.1f ms", scope["method"], _route(scope), answer.status, took)

    def _admit(self, scope: Scope, headers: Headers) -> str:
        """The digest of the request's key; ``ApiError`` for a request that is refused."""
        host = _hostname(headers.get("host", ""))
        if self.hosts is not None and host not in self.hosts:
            raise ApiError(400, f"the Host header names {host[:100]!r}, which this server is not", code="invalid_host")
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in SAFE_METHODS and origin not in self.origins:
            same = origin.lower().partition("://")[2] == headers.get("host", "").lower()
            if not same:
                raise ApiError(403, f"pages of {origin[:100]!r} may not use this server", code="forbidden_origin")
        digest = self.keys.accepted(headers)
        path = path_of(scope)
        if digest is None and (path + "/").startswith(GUARDED) and path not in OPEN:
            raise ApiError(401, "no valid API key was given", code="invalid_api_key", headers=CHALLENGE)
        return digest or ""


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if 0 < len(given) <= MAX_ID and given.isascii() and given.isprintable() else uuid.uuid4().hex


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _route(scope: Scope) -> str:
    """The path's pattern where a route was found: ids stay out of the log."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "(no route)"


def _place(error: Exception) -> str:
    """The error's type, and where it was raised; its text may quote what a user wrote."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {PurePath(last.filename).name}:{last.lineno}"
