"""Run the service: API in this process, workers in their own."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ..utils.atomic import make_directory
from ..utils.streams import report
from .app import create_app
from .logs import set_up_logs
from .settings import Settings
from .store.database import Database
from .store.workers import Workers
from .supervisor import COMMAND, Supervisor
from .worker.on_ray import on_ray

LOG = logging.getLogger("acdc.serve")
GRACE_S = 10  # for requests under way at the end


class Server(uvicorn.Server):
    """uvicorn, which ends event streams itself when it is to end (it would wait for them), and then the workers."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, supervisors: Sequence[Supervisor]) -> None:
        super().__init__(config)
        self.app, self.supervisors = app, supervisors
        self.mistaken = False  # the settings cannot be met

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Print the address when requests are answered."""
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            scheme = "https" if self.config.is_ssl else "http"
            shown = f"[{host}]" if ":" in host else host
            report(f"acdc: serving {self.app.state.service.model} at {scheme}://{shown}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: streams end with the event ``closing``."""
        asyncio.get_running_loop().call_soon_threadsafe(self.app.state.service.watcher.close)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Requests first, then the workers; uvicorn raises the signal again right after it."""
        self.app.state.service.watcher.close()
        await super().shutdown(sockets)
        await asyncio.gather(*(asyncio.to_thread(supervisor.stop) for supervisor in self.supervisors))


def serve(settings: Settings, command: Sequence[str] | None = None) -> int:
    """Serve until a signal -> the exit code. ``command`` starts a worker (None: as the settings say); its id is
    appended."""
    if command is None:
        command = COMMAND if settings.ray is None else on_ray(settings)
    set_up_logs(settings.log_level, access=settings.access_log)
    make_directory(settings.stories)
    database = Database(settings.database_url)
    database.create_tables()
    workers = Workers(database)
    workers.bury_dead()
    app = create_app(settings, database)
    service = app.state.service
    supervisors: list[Supervisor] = []
    server = Server(_config(settings, app), app, supervisors)

    def restarted() -> None:
        service.metrics.restarts.labels(service.model).inc()

    def mistaken() -> None:
        server.mistaken = server.should_exit = True

    supervisors += [Supervisor(settings, workers, restarted, mistaken, command) for _ in range(settings.workers)]
    for supervisor in supervisors:
        supervisor.start()
    server.run()
    for supervisor in supervisors:
        supervisor.stop()
    service.removals.shutdown()  # here, not as the app ends: they wait for workers, and requests may still ask for more
    database.close()
    return 2 if server.mistaken else 0 if server.started else 1


def _config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level=settings.log_level,
        access_log=False,  # the guard's has no ids
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=str(settings.ssl_keyfile) if settings.ssl_keyfile else None,
        root_path=settings.root_path,
    )
