"""The model that is served, as its workers describe it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import unavailable
from ..service import Service


def model_info(here: Service) -> Mapping[str, Any]:
    """A worker's description of its model, also while it cannot write; ``ApiError`` (503) before one has loaded it."""
    for worker in here.workers.alive(here.settings.lease):
        if "size" in worker.info:
            return worker.info
    raise unavailable("the model is being loaded; try again", "loading")
