"""A service on this machine that answers as the stories' and the images' routes do, without drawing anything."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PNG = b"\x89PNG\r\n\x1a\nnot looked at"
B64 = "iVBORw0KGgo="
PHASES = {"draw": 4.0, "correct": 8.0, "replace": 0.0}
METRICS = {"stage_durations": {"draw": 0.004, "correct": 0.008}, "queue_wait_s": 0.003}


class StubService:
    """``broken`` maps a request's number (from 0, as it arrives) to what goes wrong with it: ``status``, ``failed``,
    ``early``, ``short`` or ``shape`` (JSON of another shape). ``pause`` is the time in seconds that a frame takes."""

    def __init__(self, broken: dict[int, str] | None = None, pause: float = 0.0) -> None:
        self.broken, self.pause = broken or {}, pause
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.lock, self.running, self.peak = threading.Lock(), 0, 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                service.post(self, json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def do_GET(self) -> None:
                service.get(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> StubService:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def post(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self.lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.keys.append(handler.headers.get("authorization"))
        if self.broken.get(number) == "status":
            send(handler, 429, "application/json", json.dumps({"error": {"message": "the queue is full"}}).encode())
        elif handler.path == "/v1/stories":
            made = {"id": str(number), "state": "queued", "events_url": f"/v1/stories/{number}/events"}
            send(handler, 201, "application/json", json.dumps(made).encode())
        elif body.get("stream"):
            self.stream(handler, self.image_events(number, body))
        else:
            time.sleep(self.pause)
            picture = B64 if self.broken.get(number) == "shape" else {"b64_json": B64}
            answer = {"created": 1, "data": [picture], "metrics": METRICS}
            send(handler, 200, "application/json", json.dumps(answer).encode())

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith("/events"):
            number = int(handler.path.split("/")[3])
            self.stream(handler, self.story_events(number, len(self.bodies[number]["sentences"])))
        else:
            send(handler, 200, "image/png", PNG)

    def story_events(self, number: int, frames: int) -> Iterable[tuple[str, Any]]:
        broken = self.broken.get(number)
        yield "queued", {"position": 0}
        yield "started", {"attempt": 1}
        if broken == "shape":
            yield "frame", "a text"
        for index in range(frames - (broken == "short")):
            yield "draft", {"index": index, "url": f"/v1/stories/{number}/drafts/{index}.png"}
            time.sleep(self.pause)
            if broken == "failed":
                yield "failed", {"error": {"message": "out of memory"}}
            if broken in ("failed", "early"):
                return
            url = f"/v1/stories/{number}/frames/{index}.png"
            made = {"phases_ms": PHASES, "latency_ms": 12.0, "finished_at": time.time()}
            yield "frame", {"index": index, "url": url, **made}
        yield "end", {"frames": frames}

    def image_events(self, number: int, body: dict[str, Any]) -> Iterable[tuple[str, Any]]:
        for index in range(body["partial_images"]):
            yield "image_generation.partial_image", {"b64_json": B64, "partial_image_index": index}
        time.sleep(self.pause)
        if self.broken.get(number) == "failed":
            yield "error", {"error": {"message": "out of memory"}}
        elif self.broken.get(number) != "early":
            yield "image_generation.completed", {"b64_json": B64, "metrics": METRICS}

    def stream(self, handler: BaseHTTPRequestHandler, events: Iterable[tuple[str, Any]]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Connection", "close")
        handler.end_headers()
        with self.lock:
            self.running += 1
            self.peak = max(self.peak, self.running)
        handler.wfile.write(b": hello\n\n")
        for number, (kind, data) in enumerate(events):
            content = {"type": kind, **data} if isinstance(data, dict) else data
            text = f"id: {number}\nevent: {kind}\ndata: {json.dumps(content)}\n\n"
            handler.wfile.write(text.encode())
            handler.wfile.flush()
        with self.lock:
            self.running -= 1
        handler.close_connection = True


def send(handler: BaseHTTPRequestHandler, status: int, kind: str, content: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
