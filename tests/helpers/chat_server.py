"""An OpenAI-compatible endpoint on this machine that does, request after request, what a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Asked:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def user(self) -> str:
        """The user's turn."""
        return self.body["messages"][-1]["content"]

    @property
    def everything(self) -> str:
        """All turns."""
        return "\n".join(message["content"] for message in self.body["messages"])


class ChatServer:
    """Answers the n-th request with the n-th of ``acts``, and later ones with the last."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.asked: list[Asked] = []
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.asked.append(Asked(self.path, dict(self.headers), body, time.monotonic()))
                server.acts[min(len(server.asked), len(server.acts)) - 1](self)
                self.close_connection = True

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads, self._http.over = True, self.over
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def does(self, *acts: Act) -> None:
        """The server's behaviour from the next request on."""
        self.acts, self.asked = list(acts), []

    def close(self) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def raw(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Act:
    """These bytes."""
    return lambda handler: send(handler, status, content, headers)


def says(text: Any, finish_reason: Any = "stop", headers: dict[str, str] | None = None) -> Act:
    """A chat completion with this text."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return raw(json.dumps({"object": "chat.completion", "choices": [choice]}).encode(), headers=headers)


def fails(status: int, message: str = "", headers: dict[str, str] | None = None) -> Act:
    """An error in OpenAI's form."""
    return raw(json.dumps({"error": {"message": message}}).encode(), status, headers)


def numbered(texts: list[str], first: int = 1) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, first))


def hang(seconds: float = 30.0) -> Act:
    """Nothing at all, until the test is over."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        _server(handler).wait(seconds)

    return act


def slow(seconds: float, then: Act) -> Act:
    """A pause, and then ``then``."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        then(handler)

    return act


def drip(head: bytes) -> Act:
    """``head``, and then one byte every 50 ms: no single read ever waits long."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        over = _server(handler)
        try:
            handler.wfile.write(head)
            for _ in range(600):
                handler.wfile.write(b"a")
                handler.wfile.flush()
                if over.wait(0.05):
                    return
        except OSError:  # the other side had enough
            pass

    return act


def cut(handler: BaseHTTPRequestHandler) -> None:
    """The connection closes in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')


def _server(handler: BaseHTTPRequestHandler) -> threading.Event:
    over = handler.server.over  # type: ignore[attr-defined]
    assert isinstance(over, threading.Event)
    return over
