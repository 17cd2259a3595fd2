"""A request's body, which has a limit, and its answer, which has headers and errors of one shape: for the guard."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from .errors import ApiError

POLICY = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
DOCS = ("/docs", "/redoc")  # FastAPI's pages, which load their scripts from elsewhere
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "x-frame-options": "DENY"}


def path_of(scope: Scope) -> str:
    """The path without the prefix of a proxy, which the router takes off as well."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class TooLarge(Exception):
    """The body has more bytes than it may; no handler of the framework knows it."""


class Body:
    """``receive`` that refuses a body of more than ``most`` bytes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self.receive, self.most, self.read, self.exceeded = receive, most, 0, False

    def check_declared(self, length: str) -> None:
        """Refuse by the header ``Content-Length``, before anything is read."""
        if length.isascii() and length.isdigit() and int(length[:20]) > self.most:
            raise TooLarge

    async def __call__(self) -> Message:
        message = await self.receive()
        self.read += len(message.get("body", b""))
        if self.read > self.most:
            self.exceeded = True
            raise TooLarge
        return message


class Answer:
    """``send`` that adds headers and remembers the status. It raises ``TooLarge`` where the framework would answer that
    a body, which was too large, cannot be parsed; plain texts of the framework's own errors take the API's shape."""

    def __init__(self, send: Send, scope: Scope, body: Body, request_id: str) -> None:
        self.send, self.scope, self.body, self.request_id = send, scope, body, request_id
        self.status: int | None = None
        self._replaced = False  # the answer is the API's; the framework's is dropped

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            if self.body.exceeded and self.status is None:
                raise TooLarge
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            if message["status"] >= 400 and headers.get("content-type", "").startswith("text/plain"):
                await self._replace(message["status"])
                return
            self._complete(headers)
        await self.send(message)

    async def _replace(self, status: int) -> None:
        known = HTTPStatus(status)
        error = ApiError(status, known.phrase.lower(), code=known.name.lower())
        await error.response()(self.scope, self.body, self)
        self._replaced = True

    def _complete(self, headers: MutableHeaders) -> None:
        headers["x-request-id"] = self.request_id
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if not path_of(self.scope).startswith(DOCS):
            headers.setdefault("content-security-policy", POLICY)
