"""The first and the last to see a request: who may ask, which headers every answer has, and no traceback in any."""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import NO_RETRY, ApiError
from .keys import Keys

LOG, ACCESS = logging.getLogger("acdc.serve"), logging.getLogger("acdc.serve.access")
GUARDED, OPEN = "/v1/", ("/v1/session",)  # paths that need a key, and those below them that do not
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
POLICY = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
DOCS = ("/docs", "/redoc")  # FastAPI's pages, which load their scripts from elsewhere
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "x-frame-options": "DENY"}
LOCAL = ("localhost", "127.0.0.1", "::1")
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
        body = _Body(receive, self.max_body)
        answer = _Answer(send, body, _request_id(headers), scope["path"])
        try:
            scope.setdefault("state", {})["key_hash"] = self._admit(scope, headers)
            body.check_declared(headers.get("content-length", ""))
            await self.app(scope, body, answer)
        except ApiError as error:
            await error.response()(scope, receive, answer)
        except _TooLarge:
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
            same = urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
            if not same:
                raise ApiError(403, f"pages of {origin[:100]!r} may not use this server", code="forbidden_origin")
        digest = self.keys.accepted(headers)
        path = scope["path"]
        if digest is None and (path + "/").startswith(GUARDED) and path not in OPEN:
            raise ApiError(401, "no valid API key was given", code="invalid_api_key", headers=CHALLENGE)
        return digest or ""


CHALLENGE = {"www-authenticate": "Bearer"}


class _TooLarge(Exception):
    """The body has more bytes than it may; no handler of the framework knows it."""


class _Body:
    """``receive`` that refuses a body of more than ``most`` bytes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self.receive, self.most, self.read, self.exceeded = receive, most, 0, False

    def check_declared(self, length: str) -> None:
        """Refuse by the header ``Content-Length``, before anything is read."""
        if length.isascii() and length.isdigit() and int(length[:20]) > self.most:
            raise _TooLarge

    async def __call__(self) -> Message:
        message = await self.receive()
        self.read += len(message.get("body", b""))
        if self.read > self.most:
            self.exceeded = True
            raise _TooLarge
        return message


class _Answer:
    """``send`` that adds headers and remembers the status; it answers 413 instead where the body was too large, which
    the framework takes for an error of parsing."""

    def __init__(self, send: Send, body: _Body, request_id: str, path: str) -> None:
        self.send, self.body, self.request_id, self.path = send, body, request_id, path
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self.body.exceeded and self.status is None:
                raise _TooLarge
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not self.path.startswith(DOCS):
                headers.setdefault("content-security-policy", POLICY)
        await self.send(message)


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
