"""``/v1/models``: the model that is served."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ..service import Here, Service
from ..submit import check_model

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
def index(here: Here) -> dict[str, Any]:
    """A list of one."""
    return {"object": "list", "data": [_model(here)]}


@router.get("/{name:path}")
def read(name: str, here: Here) -> dict[str, Any]:
    """The model of that name."""
    check_model(here, name)
    return _model(here)


def _model(here: Service) -> dict[str, Any]:
    worker = here.ready_worker()
    info = worker.info if worker else {}
    return {
        "id": here.model,
        "object": "model",
        "created": info.get("loaded_at", 0),
        "owned_by": "acdc",
        "root": str(here.settings.engine_options.bundle),
        "parent": None,
        "max_model_len": None,
        "size": info.get("size"),
        "modalities": ["image", *(["video"] if info.get("clips") else [])],
        "defaults": info.get("defaults"),
    }
