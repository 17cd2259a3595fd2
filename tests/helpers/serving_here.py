"""A service within the test's own process: the app by a client without a network, a worker with the fake engine in a
thread. Quicker than ``serving.py``; nothing here can be killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from fastapi.testclient import TestClient

from acdc.engine.server.app import create_app
from acdc.engine.server.settings import Settings, read_settings
from acdc.engine.server.store.database import Database
from acdc.engine.server.worker.desk import Executor
from acdc.engine.server.worker.process import WorkerProcess
from tests.helpers.fake_serving import FakeServing
from tests.helpers.serving import wait_for


def settings_of(data: Path, **given: Any) -> Settings:
    (data / "stories").mkdir(parents=True, exist_ok=True)
    return read_settings(data=data, **given)


@contextmanager
def client_of(settings: Settings) -> Iterator[TestClient]:
    """The app alone; what is submitted waits."""
    database = Database(settings.database_url)
    database.create_tables()
    key = settings.api_keys[0].get_secret_value() if settings.api_keys else ""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    app = create_app(settings, database)
    with TestClient(app, "http://localhost", False, settings.root_path, headers=headers) as client:
        yield client
    database.close()


@contextmanager
def worker_of(
    settings: Settings,
    name: str = "here",
    frame_s: float = 0.0,
    executors: dict[str, Executor] | None = None,
    engine: Any = None,
) -> Iterator[WorkerProcess]:
    """A worker that is ready, and stopped after the block; ``engine`` takes the place of the fake one."""
    worker = WorkerProcess(settings, name, lambda _: engine or FakeServing(frame_s), executors or {})
    thread = Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        wait_for(worker.drawing.ready.is_set)
        yield worker
    finally:
        if not worker.stopping.is_set():
            worker.stop()
        thread.join(30)
        worker.database.close()


def ended(client: TestClient, name: str, *states: str) -> dict[str, Any]:
    """The story, as soon as it is in one of these states (none: done)."""
    wanted = states or ("done",)
    wait_for(lambda: client.get(f"/v1/stories/{name}").json()["state"] in wanted, 20)
    return client.get(f"/v1/stories/{name}").json()
