"""Routes for operators: health, readiness, version, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ...utils.versions import acdc_version
from ..errors import unavailable
from ..service import Here
from ..store.workers import BLOCKED

router = APIRouter(tags=["operation"])


@router.get("/health")
def health(here: Here) -> dict[str, str]:
    """200 when a worker has its model loaded; 503 with ``loading`` before."""
    alive = here.workers.alive(here.settings.lease)
    if here.ready_worker() is None:
        state = "blocked" if any(worker.state == BLOCKED for worker in alive) else "loading"
        raise unavailable(f"the status is {state}: no worker can draw now", state)
    return {"status": "ok"}


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """200 while this process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(here: Here) -> dict[str, str]:
    """200 when the store answers and a worker is ready."""
    return health(here)


@router.get("/version")
def version() -> dict[str, str]:
    """The engine's version."""
    return {"version": acdc_version()}


@router.get("/metrics")
def metrics(here: Here) -> Response:
    """Prometheus' text format."""
    text = here.metrics.text(here.store, here.workers, here.settings.lease)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
