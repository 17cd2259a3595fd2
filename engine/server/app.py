"""The FastAPI app: routers, errors and the guard around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from ..utils.versions import acdc_version
from .errors import add_handlers
from .guard import LOCAL, Guard
from .keys import Keys
from .metrics import Metrics
from .routes import ROUTERS
from .service import Service
from .settings import Settings, is_loopback
from .signing import load_signer
from .store.database import Database
from .store.store import Store
from .store.workers import Workers
from .watch import Watcher

MIB = 1 << 20


def create_app(settings: Settings, database: Database) -> FastAPI:
    """The whole API over a store whose tables exist. A router of ``ROUTERS`` finds its service by ``here: Here``."""
    app = FastAPI(
        title="acdc",
        version=acdc_version(),
        summary="Stories that an autoregressive model draws and a diffusion model corrects.",
        lifespan=_lifespan,
    )
    signer = load_signer(settings.secret.get_secret_value() if settings.secret else None, settings.data)
    keys = Keys([key.get_secret_value() for key in settings.api_keys], signer)
    store = Store(database)
    metrics = Metrics(settings.model)
    watcher = Watcher(store, metrics.take)
    app.state.service = Service(settings, store, Workers(database), watcher, signer, keys, metrics)
    for router in ROUTERS:
        app.include_router(router)
    add_handlers(app)
    limit = settings.max_body_mb * MIB
    app.add_middleware(Guard, keys=keys, hosts=_hosts(settings), origins=settings.allowed_origins, max_body=limit)
    if settings.allowed_origins:  # around the guard: a page's preflight request has no key
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allowed_origins, allow_methods=["*"], allow_headers=["*"]
        )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    watching = asyncio.create_task(app.state.service.watcher.run())
    yield
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


def _hosts(settings: Settings) -> list[str] | None:
    """Names for the Host header: the own ones on loopback, any other where the server has keys and names none."""
    if is_loopback(settings.host):
        return [*LOCAL, settings.host, *settings.allowed_hosts]
    return [settings.host, *LOCAL, *settings.allowed_hosts] if settings.allowed_hosts else None
