"""Everything that routes share; they take it as a parameter ``here: Here``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from .keys import Keys
from .metrics import Metrics
from .settings import Settings
from .signing import Signer
from .store.store import Store
from .store.workers import READY, Worker, Workers
from .watch import Watcher

REMOVALS = 4  # threads: jobs whose workers are waited for at a time


@dataclass
class Service:
    """One API process."""

    settings: Settings
    store: Store
    workers: Workers
    watcher: Watcher
    signer: Signer
    keys: Keys
    metrics: Metrics
    # A removal waits for a worker; threads of asyncio, which are few on a small machine, are for the watcher, too.
    removals: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(REMOVALS, "removal"))

    def ready_worker(self) -> Worker | None:
        """A worker whose model is loaded, or None."""
        alive = self.workers.alive(self.settings.lease)
        return next((worker for worker in alive if worker.state == READY), None)

    @property
    def model(self) -> str:
        """The name of the model that is served."""
        return self.settings.model


async def service(request: Request) -> Service:
    """The app's service."""
    found = request.app.state.service
    assert isinstance(found, Service)
    return found


Here = Annotated[Service, Depends(service)]
