"""Servers for tests: in processes of their own on a free port, with the real bundle or the fake engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0


class Server:
    """A running server. ``http`` is a client with its address, and with its key if it wants one."""

    def __init__(self, process: subprocess.Popen[str], url: str, data: Path, key: str | None = None) -> None:
        self.process, self.url, self.data = process, url, data
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.http = httpx2.Client(base_url=url, headers=headers, timeout=LIMIT_S)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def wait_ready(self) -> "Server":
        """Until a worker has its model."""
        wait_for(lambda: self.http.get("/health").status_code == 200)
        return self

    def submit(self, *sentences: str, **body: Any) -> str:
        answer = self.http.post("/v1/stories", json={"sentences": list(sentences), **body})
        assert answer.is_success, answer.text
        return answer.json()["id"]

    def story(self, name: str) -> dict[str, Any]:
        return self.http.get(f"/v1/stories/{name}").json()

    def wait(self, name: str, *states: str) -> dict[str, Any]:
        """The story, as soon as it is in one of these states (none: done)."""
        wanted = states or ("done",)

        def there() -> bool:
            state = self.story(name)["state"]
            assert state in wanted or state not in ("done", "failed", "cancelled"), self.story(name)
            return state in wanted

        wait_for(there)
        return self.story(name)

    def events(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """A story's whole stream."""
        with self.http.stream("GET", f"/v1/stories/{name}/events", params=params) as answer:
            return list(parse_events(answer.iter_lines()))

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        direct = {int(pid) for task in children.parents[1].glob("*/children") for pid in task.read_text().split()}
        return sorted(direct)

    def kill(self) -> None:
        """As a power cut would: neither server nor workers run their shutdown."""
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """By SIGTERM -> the exit code."""
        self.process.terminate()
        return self.process.wait(LIMIT_S)


def parse_events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """``{"event", "id", "data"}`` of each server-sent event; comments are left out."""
    event: dict[str, Any] = {}
    for line in lines:
        if not line:
            if "data" in event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value


def wait_for(condition: Any, limit_s: float = LIMIT_S) -> None:
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < limit_s, "it does not come"
        time.sleep(min(0.01 + waited / 10, 0.25))  # a server that is asked all the time has less time for its work


def start(
    data: Path, *, fake: bool = True, port: int = 0, env: dict[str, str] | None = None, **settings: Any
) -> Server:
    """Start a server over ``data`` -> it, as soon as it answers; ``settings`` by the names of ``Settings``."""
    if fake:
        given = {"data": str(data), "port": port, "access_log": False, "warm_up": False, **settings}
        command = [sys.executable, str(ROOT / "tests" / "helpers" / "serve_fake.py"), json.dumps(given)]
    else:
        options = {"engine.backend": "eager", "correction.num_inference_steps": 4, **settings.pop("options", {})}
        given = {"data": str(data), "port": port, "access_log": False, "options": options, **settings}
        code = (
            "import json, sys; from acdc.engine.server.serve import serve; "
            "from acdc.engine.server.settings import read_settings; "
            "sys.exit(serve(read_settings(**json.loads(sys.argv[1]))))"
        )
        command = [sys.executable, "-c", code, json.dumps(given)]
    path = os.pathsep.join([str(ROOT.parent), os.environ.get("PYTHONPATH", "")])
    whole = {**os.environ, "PYTHONPATH": path, "FAKE_FRAME_S": "0.02", **(env or {})}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=whole)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert " at http" in line, f"the server said {line!r}, and ended with {process.wait(LIMIT_S)}"
    keys = settings.get("api_keys") or [None]
    return Server(process, line.split()[-1], data, keys[0])


@contextmanager
def running(data: Path, **settings: Any) -> Iterator[Server]:
    """A server for a block; it is stopped after it, or killed where that takes too long."""
    server = start(data, **settings)
    try:
        yield server.wait_ready()
    finally:
        if server.process.poll() is None:
            server.process.terminate()
        try:
            server.process.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
        server.http.close()
